/*
 * Files that make one program trust Weir's CA beside the roots it trusts
 * anyway, in a directory that is the user's alone; nothing else on the machine changes.
 */
#ifndef WEIR_CTL_TRUST_H
#define WEIR_CTL_TRUST_H

#include <stdbool.h>
#include <stddef.h>

struct trust { /* absolute paths */
    char directory[512];
    char ca[600];       /* Weir's CA alone, and what NODE_EXTRA_CA_CERTS named */
    char bundle[600];   /* the roots and Weir's CA */
    char keystore[600]; /* the same for Java (JKS) */
    char wgetrc[600];   /* the user's own, and the bundle */
    char python[600];   /* a directory for PYTHONPATH: certifi.where() is the bundle */
    char php[600];      /* a directory for PHP_INI_SCAN_DIR: openssl.cafile is the bundle */
};

/* Variables that name a file of roots, in the order in which they are looked at.  `always`: set whether or not the
 * user had it; else only replaced.  Ends with a name of NULL. */
struct roots_variable {
    const char *name;
    bool        always;
};
extern const struct roots_variable trust_variables[];

/* Writes them for the CA of that `fingerprint`.  False: a line on standard error has said why. */
bool trust_write(struct trust *, const char *certificate, const char *fingerprint);
/* keystore.c: the certificates of a PEM text as a Java keystore; malloc'd. NULL: there is none in it. */
unsigned char *keystore_make(const char *pem, size_t *bytes);

#endif
