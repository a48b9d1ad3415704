/*
 * The body's length: see framing.h.  What a library reads of these fields may be more, or less, than they say
 * (strtol takes "+5", "0x5", "5, 6"), and then a body is cut, or two messages are one.
 */
#include "http/framing.h"

static bool add_length(struct http_framing *f, struct slice value)
{
    int64_t length;

    if (!slice_to_int64(value, &length) || (f->length >= 0 && f->length != length))
        return false;
    f->length = length;
    return true;
}

static bool add_coding(struct http_framing *f, struct slice value)
{
    if (f->chunked || !slice_eq_nocase(value, SLICE("chunked")))
        return false;
    f->chunked = true;
    return true;
}

bool http_framing_of_answer(const struct http_fields *fields, unsigned version_minor, struct http_framing *f)
{
    *f = (struct http_framing){ .length = -1 };
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        if (field->id == HTTP_CONTENT_LENGTH && !add_length(f, field->value))
            return false;
        if (field->id == HTTP_TRANSFER_ENCODING && !add_coding(f, field->value))
            return false;
    }
    f->doubtful = f->chunked && (f->length >= 0 || version_minor == 0);
    if (f->chunked)
        f->length = -1; /* it overrides the other */
    return true;
}
