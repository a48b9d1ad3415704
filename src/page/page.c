/*
 * The files stand between two symbols each, which the assembler's .incbin makes: gcc and clang do it alike, and nothing
 * has to be generated.  WEIR_PAGE_FILES is their folder, as the compiler sees it.
 */
#include "page/page.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

// clang-format off
#define PAGE(id, path, file, type) \
    __asm__(".pushsection .rodata\n" \
            ".globl weir_page_" #id "\n.hidden weir_page_" #id "\nweir_page_" #id ":\n" \
            ".incbin \"" WEIR_PAGE_FILES file "\"\n" \
            ".globl weir_page_" #id "_end\n.hidden weir_page_" #id "_end\nweir_page_" #id "_end:\n" \
            ".byte 0\n" \
            ".popsection\n"); \
    extern const char weir_page_##id[], weir_page_##id##_end[];
#include "page/page.def"
#undef PAGE
// clang-format on

static struct page_file files[] = {
#define PAGE(id, path, file, type) { path, type, weir_page_##id, weir_page_##id##_end, "" },
#include "page/page.def"
#undef PAGE
};
enum { FILE_COUNT = sizeof files / sizeof files[0] };

static pthread_once_t tagged = PTHREAD_ONCE_INIT;

static void tag_all(void)
{
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        struct page_file *f = &files[i];
        uint8_t           hash[16];
        char              hex[2 * sizeof hash + 1];

        crypto_generichash(hash, sizeof hash, (const unsigned char *)f->begin, (size_t)(f->end - f->begin), NULL, 0);
        snprintf(f->tag, sizeof f->tag, "\"%s\"", sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
    }
}

const struct page_file *page_find(struct slice path)
{
    pthread_once(&tagged, tag_all);
    for (unsigned i = 0; i < FILE_COUNT; i++)
        if (slice_eq(path, slice_of(files[i].path)))
            return &files[i];
    return NULL;
}
