/* Certificates of a hub: one that is trusted and fits is let through, any other is refused before the token is sent.
 * The server is openssl s_server, which writes down what it receives. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../own_folder.h"
#include "alloc.h"
#include "pull.h"

static char certificate[600], key_file[600], received[600];
static int port;
static pid_t openssl;

/* A certificate that signs itself, for a host ("IP:127.0.0.1"), which ends so many seconds from now. */
static void write_certificate(const char *host, long ends)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *x = X509_new();
    X509V3_CTX context;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), ends);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"hub", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, host);
    X509_add_ext(x, names, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate, "w");
    assert_true(file && PEM_write_X509(file, x) && fclose(file) == 0);
    file = fopen(key_file, "w");
    assert_true(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) && fclose(file) == 0);
    X509_EXTENSION_free(names);
    X509_free(x);
    EVP_PKEY_free(key);
}

static struct sockaddr_in address_of(int number)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)number), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int free_port(void)
{
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof address;
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &size), 0);
    close(descriptor);
    return ntohs(address.sin_port);
}

static void wait_for_server(void)
{
    const struct sockaddr_in address = address_of(port);
    for (int i = 0; i < 500; i++) {
        const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
        const bool there = connect(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;
        close(descriptor);
        if (there)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("openssl s_server does not come up");
}

static void start_server(void)
{
    char at[32];
    port = free_port();
    snprintf(at, sizeof at, "127.0.0.1:%d", port);
    openssl = fork();
    if (openssl == 0) {
        int ends[2];
        const int out = open(received, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (pipe(ends) != 0 || dup2(ends[0], 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(127);
        execlp("openssl", "openssl", "s_server", "-quiet", "-accept", at, "-cert", certificate, "-key", key_file,
               (char *)NULL);
        _exit(127);
    }
    wait_for_server();
}

static bool token_was_received(void)
{
    char text[16384] = "";
    FILE *file = fopen(received, "r");
    const size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    return memmem(text, size, "Bearer secret", 13);
}

/* What a pull gives from a server with this certificate; trusted: it is the one that SSL_CERT_FILE names. */
static ffai_status pull_from(const char *host, long ends, bool trusted, ffai_error *err)
{
    char endpoint[64], token[] = "secret", *path = NULL;
    ffai__repository repository;
    write_certificate(host, ends);
    start_server();
    snprintf(endpoint, sizeof endpoint, "https://127.0.0.1:%d", port);
    const ffai__hub_settings settings = {
        .endpoint = endpoint, .cache = folder, .token = token, .ca_file = trusted ? certificate : NULL, .stall_s = 1};
    assert_int_equal(ffai__repository_parse(&repository, "org/model", err), FFAI_OK);
    const ffai_status status = ffai__pull(&path, &settings, &repository, NULL, err);
    ffai__repository_free(&repository);
    kill(openssl, SIGKILL);
    waitpid(openssl, NULL, 0);
    return status;
}

static bool is_openssl_there(void)
{
    int status = 1;
    const pid_t child = fork();
    if (child == 0) {
        const int out = open("/dev/null", O_WRONLY);
        dup2(out, 1);
        execlp("openssl", "openssl", "version", (char *)NULL);
        _exit(127);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

static void assert_refused(const char *host, long ends, bool trusted, const char *why)
{
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(pull_from(host, ends, trusted, &err), FFAI_E_IO);
    if (!strstr(err.message, why) || !strstr(err.message, "SSL_CERT_FILE"))
        fail_msg("\"%s\" or SSL_CERT_FILE is not in: %s", why, err.message);
    assert_false(token_was_received());
}

static void certificates_that_do_not_hold_are_refused_before_the_token_is_sent(void **state)
{
    (void)state;
    if (!is_openssl_there()) {
        print_message("no openssl to play the server\n");
        skip();
    }
    assert_refused("IP:127.0.0.1", 86400, false, "self-signed");
    assert_refused("DNS:hub.example", 86400, true, "no alternative certificate subject name");
    assert_refused("IP:127.0.0.1", -3600, true, "expired");
}

/* s_server says nothing, so the pull ends when it has waited; the request was sent. */
static void a_certificate_that_the_site_trusts_is_let_through(void **state)
{
    ffai_error err = FFAI_ERROR_INIT;
    (void)state;
    if (!is_openssl_there()) {
        print_message("no openssl to play the server\n");
        skip();
    }
    assert_int_equal(pull_from("IP:127.0.0.1", 86400, true, &err), FFAI_E_IO);
    assert_null(strstr(err.message, "SSL_CERT_FILE"));
    assert_true(token_was_received());
}

static int set_up(void **state)
{
    const int made = make_folder(state);
    snprintf(certificate, sizeof certificate, "%s/certificate.pem", folder);
    snprintf(key_file, sizeof key_file, "%s/key.pem", folder);
    snprintf(received, sizeof received, "%s/received", folder);
    return made;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(certificates_that_do_not_hold_are_refused_before_the_token_is_sent, set_up,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_certificate_that_the_site_trusts_is_let_through, set_up, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
