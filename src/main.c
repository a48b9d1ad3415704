/*
 * weir: wires the rooms, runs, unwinds in reverse.
 *
 * The main thread reads the configuration, opens the store, the state, the
 * upstream thread and the front, and then waits: for signals, for
 * connections to hand on, and for reloaded configurations from the admin
 * socket.  Exit status: 0 after SIGTERM or SIGINT, 1 where it could not start.
 */
#include "admin/once.h"
#include "admin/saved.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/wait.h"
#include "config/config.h"
#include "config/keeper.h"
#include "config/mode.h"
#include "engine/credential.h"
#include "engine/runs.h"
#include "jobs/jobs.h"
#include "front/front.h"
#include "route/pattern.h"
#include "store/state.h"
#include "store/store.h"
#include "upstream/upstream.h"

#include <sodium.h>
#include <systemd/sd-daemon.h>

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A database that kills does so at the start or with the first reads and writes: db.h. */
static const int64_t proof_ns = 120 * NS_PER_SEC;
/* At most what follows the drain: the last commits, on a disk that is slow. */
static const int64_t ending_ns = 15 * NS_PER_SEC;

struct daemon {
    const char          *config_file;  /* NULL: the embedded default */
    struct config       *config;       /* main thread; others hold what they were given */
    struct config       *started_with; /* constant: what only a restart can change is compared with it */
    pthread_mutex_t      lock;         /* of the next one, and of posting while it is false */
    bool                 closing;
    struct state        *state;
    struct authority    *authority;
    struct store        *store;
    struct upstream     *upstream;
    struct jobs         *jobs;
    struct credentials  *credentials;
    struct peer_finder  *finder;
    struct records      *records;
    struct runs         *runs;
    struct saved        *saved;
    struct front        *front;
    struct mailbox      *mailbox;      /* main's: new configurations come here */
    struct keeper       *keeper;       /* reads them */
    struct reload_order  on_signal;    /* that SIGHUP gives */
    bool                 reloading;    /* on_signal is under way */
    bool                 reload_again; /* SIGHUP came meanwhile: the files may have changed since they were read */
    int                  signal_fd;
    int64_t              settled_at_ns; /* monotonic: when this start has proved itself; INT64_MAX: it has */
    int64_t              started_wall_ns;
    struct admin_reloads reloads;
    int64_t              told_ns; /* monotonic: when systemd was last told that main goes round */
};

/* -- reload: the keeper reads, main puts into effect -- */

static void take_config(struct daemon *d, struct config *fresh)
{
    config_take_traffic(fresh, d->config);
    config_mode_hand_over(fresh, d->config);
    config_release(d->config);
    d->config = fresh;
    log_set_level(fresh->log_level);
    upstream_configure(d->upstream, &fresh->ref, fresh->fetch_options, fresh->upstream_count);
    credentials_forget(d->credentials);
    front_configure(d->front, fresh);
    log_info("reloaded", "file=%s", log_quote(d->config_file != NULL ? d->config_file : "embedded default"));
}

static void note_reload(struct admin_reloads *r, bool good)
{
    if (good)
        atomic_store(&r->loaded_wall_ns, clock_wall_ns());
    atomic_store(&r->last_failed, !good);
    atomic_fetch_add(good ? &r->good : &r->bad, 1);
}

/* False, and the order says why, where the old configuration stays. */
static bool receive_order(struct daemon *d, struct reload_order *o)
{
    if (o->fresh != NULL && d->closing) {
        config_release(o->fresh);
        o->fresh = NULL;
        free(o->text);
        o->text = mem_copy(SLICE("Weir is about to stop\n"));
    }
    if (o->fresh != NULL)
        take_config(d, o->fresh);
    else
        log_error("reload_failed", "kept=old problems=%s", log_quote(o->text));
    note_reload(&d->reloads, o->fresh != NULL);
    return o->fresh != NULL;
}

static void receive_asked(struct mail *m)
{
    struct reload_order *o = CONTAINER_OF(m, struct reload_order, mail);

    receive_order(o->context, o);
    mailbox_post(o->reply_to, &o->done);
}

/* Any thread: the order, with `reply_to` and `done`, is the caller's until `done` has come. */
static void reload(void *context, struct reload_order *o)
{
    struct daemon *d = context;

    o->context = d;
    o->mail.receive = receive_asked;
    keeper_reload(d->keeper, o);
}

static void reload_on_signal(struct daemon *d);

static void receive_signalled(struct mail *m)
{
    struct reload_order *o = CONTAINER_OF(m, struct reload_order, mail);
    struct daemon       *d = o->context;
    bool                 again = d->reload_again && !d->closing;

    if (receive_order(d, o) && o->text[0] != '\0')
        log_warning("reload_incomplete", "note=%s", log_quote(o->text));
    free(o->text);
    d->reloading = false;
    d->reload_again = false;
    if (again)
        reload_on_signal(d);
    else
        sd_notify(0, "READY=1");
}

static void reload_on_signal(struct daemon *d)
{
    if (d->reloading) {
        d->reload_again = true;
        return;
    }
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono_ns() / NS_PER_US));
    d->reloading = true;
    d->on_signal = (struct reload_order){ .mail = { .receive = receive_signalled }, .context = d };
    keeper_reload(d->keeper, &d->on_signal);
}

/* -- the access log's file was renamed: whatever state the configuration's file is in -- */

struct main_reopening {
    struct mail     mail;
    struct daemon  *daemon;
    struct mailbox *reply_to;
    struct mail    *done;
};

static void receive_reopening(struct mail *m)
{
    struct main_reopening *r = CONTAINER_OF(m, struct main_reopening, mail);

    front_reopen_logs(r->daemon->front, r->reply_to, r->done);
    free(r);
}

/* Any thread; false: Weir is about to stop. */
static bool reopen_logs(void *context, struct mailbox *reply_to, struct mail *done)
{
    struct daemon         *d = context;
    struct main_reopening *r = mem_alloc(sizeof *r);
    bool                   closing;

    *r = (struct main_reopening){ { .receive = receive_reopening }, d, reply_to, done };
    pthread_mutex_lock(&d->lock);
    closing = d->closing;
    if (!closing)
        mailbox_post(d->mailbox, &r->mail);
    pthread_mutex_unlock(&d->lock);
    if (closing)
        free(r);
    return !closing;
}

/* -- the CA, for the admin socket -- */

/* Any thread. */
static bool show_ca(void *context, bool rotate, struct admin_ca *out, struct fault *why)
{
    struct daemon         *d = context;
    int64_t                now_s = clock_wall_ns() / NS_PER_SEC;
    struct authority_facts facts;

    if ((rotate && authority_rotate(d->authority, now_s, why) != 0) ||
        authority_describe(d->authority, now_s, &facts, why) != 0)
        return false;
    snprintf(out->certificate, sizeof out->certificate, "%s", facts.certificate);
    snprintf(out->fingerprint, sizeof out->fingerprint, "%s", facts.fingerprint);
    snprintf(out->subject, sizeof out->subject, "%s", facts.subject);
    out->made_s = facts.made_s;
    out->expires_s = facts.expires_s;
    return true;
}

/* -- start and end -- */

static int block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that reached a limit is a full disk, no reason to die */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A socket per client and one per upstream request: as many as the system lets us have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool match_pattern(const void *pattern, struct slice path)
{
    return pattern_matches(pattern, path);
}

struct row_owners {
    const struct state_owner *list[8]; /* ends with NULL */
};

/* Of the rows of the state directory. */
static struct row_owners row_owners(void)
{
    return (struct row_owners){ { upstream_rows[0], upstream_rows[1], &config_mode_rows, &jobs_rows, NULL } };
}

static int open_rooms(struct daemon *d, struct fault *why)
{
    struct fault                              note = { "" };
    static const struct engine_service *const own[] = { &jobs_batch, &jobs_told, NULL };
    struct front_services                     services = { .engine = { .own = own, .later = &jobs_later } };
    const struct row_owners                   owners = row_owners();

    d->state = state_open(&d->config->state, owners.list, why, &note);
    if (d->state == NULL)
        return -1;
    if (note.text[0] != '\0')
        log_warning("state_set_aside", "note=%s", log_quote(note.text));
    note.text[0] = '\0';
    config_mode_load(d->state, d->config);
    d->authority = authority_open(state_directory(d->state), d->started_with->state.path);
    d->store = store_open(&d->config->cache, why, &note);
    if (d->store == NULL)
        return -1;
    if (note.text[0] != '\0')
        log_warning("cache_set_aside", "note=%s", log_quote(note.text));
    d->upstream =
        upstream_open(&(struct upstream_start){ .store = d->store, .state = d->state, .match = match_pattern }, why);
    if (d->upstream == NULL)
        return -1;
    upstream_configure(d->upstream, &d->config->ref, d->config->fetch_options, d->config->upstream_count);
    d->jobs = jobs_open(d->state, d->store, &d->config->jobs, why);
    if (d->jobs == NULL)
        return -1;
    services.engine.jobs = d->jobs;
    d->credentials = credentials_open();
    d->finder = peer_finder_open();
    d->saved = saved_open(clock_wall_ns());
    d->records = records_open(d->config->workers);
    services.engine.store = d->store;
    services.engine.upstream = d->upstream;
    services.engine.credentials = d->credentials;
    services.engine.finder = d->finder;
    d->runs = runs_open();
    services.engine.records = d->records;
    services.engine.runs = d->runs;
    memcpy(services.engine.secret.bytes, state_key(d->state), sizeof services.engine.secret.bytes);
    services.admin = (struct admin_services){ .store = d->store,
                                              .upstream = d->upstream,
                                              .state = d->state,
                                              .reload = reload,
                                              .reopen = reopen_logs,
                                              .ca = show_ca,
                                              .reloads = &d->reloads,
                                              .saved = d->saved,
                                              .jobs_overview = jobs_overview,
                                              .jobs = d->jobs,
                                              .runs = d->runs,
                                              .context = d,
                                              .started_wall_ns = d->started_wall_ns };
    services.authority = d->authority;
    d->front = front_open(&services, d->config, why);
    return d->front != NULL ? 0 : -1;
}

static void close_rooms(struct daemon *d)
{
    unsigned broken_off = front_close(d->front, d->config->timeout.drain_ns, d->signal_fd);

    if (broken_off > 0)
        log_warning("stopped_early", "broken_off=%u", broken_off);
    saved_close(d->saved);
    runs_close(d->runs);
    records_close(d->records);
    credentials_close(d->credentials);
    upstream_close(d->upstream);
    peer_finder_close(d->finder);
    jobs_close(d->jobs);
    store_close(d->store);
    authority_close(d->authority);
    state_close(d->state);
}

static int64_t watchdog_ns(void)
{
    uint64_t us = 0;

    return sd_watchdog_enabled(0, &us) > 0 && us > 0 ? (int64_t)us * NS_PER_US / 2 : WAIT_FOR_EVER;
}

/* A datagram that wakes systemd: not with every connection that is accepted. */
static void tell_watchdog(struct daemon *d, int64_t tick_ns)
{
    const int64_t now_ns = clock_mono_ns();

    if (tick_ns <= 0 || now_ns - d->told_ns < tick_ns / 2)
        return;
    d->told_ns = now_ns;
    sd_notify(0, "WATCHDOG=1");
}

/* The start has survived its first minutes. */
static void settle(struct daemon *d)
{
    if (clock_mono_ns() < d->settled_at_ns)
        return;
    state_settle(d->state);
    store_settle(d->store);
    d->settled_at_ns = INT64_MAX;
}

/* A timer that never fires, and that can be read when somebody sets the wall clock. -1: there is none. */
static int watch_clock(void)
{
    const struct itimerspec never = { .it_value = { .tv_sec = INT32_MAX } };
    int                     fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void heed_clock(struct daemon *d, int watch_fd)
{
    const int64_t step_ns = clock_wall_step_ns();
    uint64_t      count;

    if (watch_fd >= 0 && read(watch_fd, &count, sizeof count) < 0 && errno == ECANCELED)
        log_debug("clock_set", "step_ms=%lld", (long long)(step_ns / NS_PER_MS));
    if (step_ns < 0) {
        log_warning("clock_set_back", "seconds=%.3f", -(double)step_ns / NS_PER_SEC);
        store_clock_set_back(d->store, -step_ns);
    }
}

/* How long main may sleep. */
static int64_t patience_ns(const struct daemon *d, int64_t tick_ns)
{
    int64_t left_ns = d->settled_at_ns - clock_mono_ns(), day_ns = saved_left_ns(d->saved, clock_wall_ns());

    if (d->settled_at_ns == INT64_MAX || day_ns < left_ns)
        left_ns = day_ns;
    if (tick_ns > 0 && tick_ns < left_ns)
        return tick_ns;
    return left_ns > 0 ? left_ns : 0;
}

/* Until a signal says to stop. */
static void run(struct daemon *d)
{
    int64_t tick_ns = watchdog_ns();
    int     clock_fd = watch_clock();

    clock_wall_step_ns();
    for (;;) {
        struct pollfd           fds[4] = { { .fd = d->signal_fd, .events = POLLIN },
                                           { .fd = front_fd(d->front), .events = POLLIN },
                                           { .fd = mailbox_fd(d->mailbox), .events = POLLIN },
                                           { .fd = clock_fd, .events = POLLIN } };
        struct signalfd_siginfo s;

        wait_poll(fds, 4, patience_ns(d, tick_ns));
        heed_clock(d, (fds[3].revents & POLLIN) != 0 ? clock_fd : -1);
        settle(d);
        saved_tick(d->saved, d->config, clock_wall_ns());
        tell_watchdog(d, tick_ns);
        if ((fds[1].revents & POLLIN) != 0)
            front_accept(d->front);
        if ((fds[2].revents & POLLIN) != 0)
            mailbox_deliver(d->mailbox);
        if ((fds[0].revents & POLLIN) == 0 || read(d->signal_fd, &s, sizeof s) != sizeof s)
            continue;
        if (s.ssi_signo == SIGHUP)
            reload_on_signal(d);
        else if (s.ssi_signo == SIGUSR1)
            front_reopen_logs(d->front, NULL, NULL);
        else
            break;
    }
    if (clock_fd >= 0)
        close(clock_fd);
}

static int serve(struct daemon *d)
{
    struct fault why = { "" };
    int          status = 1;

    d->mailbox = mailbox_open();
    raise_descriptor_limit();
    if (!clock_start())
        log_error("clock_file_unusable", "path=%s reason=%s", log_quote(getenv("WEIR_CLOCK_FILE")),
                  log_quote(strerror(errno)));
    d->started_wall_ns = clock_wall_ns();
    atomic_store(&d->reloads.loaded_wall_ns, d->started_wall_ns);
    log_set_level(d->config->log_level);
    if (sodium_init() < 0 || d->signal_fd < 0 || d->mailbox == NULL) {
        fprintf(stderr, "weir: cannot start: %s\n", strerror(errno));
        return 1;
    }
    d->settled_at_ns = clock_mono_ns() + proof_ns;
    d->keeper = keeper_start(d->config_file, d->config, d->mailbox, &why);
    if (d->keeper != NULL && open_rooms(d, &why) == 0) {
        log_info("ready", "version=%s config=%s", PACKAGE_VERSION,
                 log_quote(d->config_file != NULL ? d->config_file : "embedded default"));
        sd_notify(0, "READY=1");
        run(d);
        sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
                   (long long)((d->config->timeout.drain_ns + ending_ns) / NS_PER_US));
        log_info("stopping", "drain_ms=%lld", (long long)(d->config->timeout.drain_ns / NS_PER_MS));
        status = 0;
    } else {
        fprintf(stderr, "weir: %s\n", why.text);
    }
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    pthread_mutex_unlock(&d->lock);
    keeper_stop(d->keeper);
    if (d->front != NULL)
        mailbox_deliver(d->mailbox); /* workers wait for what becomes of it */
    close_rooms(d);
    mailbox_close(d->mailbox);
    close(d->signal_fd);
    return status;
}

static void print_help(FILE *out)
{
    fputs("Usage: weir [-c FILE] [--check | --dump-config | --offline | --explain]\n"
          "\n"
          "A local caching, rate-limiting HTTP proxy for API clients.\n"
          "\n"
          "  -c, --config FILE  read FILE; without it /etc/weir/weir.conf or, for a user,\n"
          "                     $XDG_CONFIG_HOME/weir/weir.conf, else a built-in default\n"
          "      --check        say what is wrong with the configuration, and exit\n"
          "      --dump-config  print every setting in effect, and exit\n"
          "      --explain      for weirctl: say what the configuration makes of a request, sending nothing\n"
          "      --backup DIR   for weirctl: copy cache and state into DIR, and exit\n"
          "      --restore DIR  for weirctl: put such a copy back, and exit\n"
          "      --offline      for weirctl: answer one call about the cache, while no weir runs\n"
          "      --version      print the version, and exit\n"
          "  -h, --help         print this, and exit\n"
          "\n"
          "weirctl(1) asks a running weir. weir(8) and weir.conf(5) tell the rest.\n",
          out);
}

static void print_version(void)
{
    printf("weir %s\nlibmicrohttpd %s, tricks %s\n", PACKAGE_VERSION, front_library(),
           front_uses_tricks() ? "on" : "off");
}

static int start(struct daemon *d)
{
    int status;

    d->signal_fd = block_signals(); /* first of all: none of them is to kill a start */
    d->config = config_load(d->config_file, stderr);
    if (d->config == NULL)
        return 1;
    d->started_with = d->config;
    config_acquire(d->started_with);
    status = config_read_secrets(d->config, stderr) && config_open_tapes(d->config, stderr) ? serve(d) : 1;
    config_release(d->config);
    config_release(d->started_with);
    keeper_close(d->keeper);
    return status;
}

int main(int argc, char **argv)
{
    enum {
        OPTION_CHECK = 256,
        OPTION_DUMP,
        OPTION_OFFLINE,
        OPTION_EXPLAIN,
        OPTION_BACKUP,
        OPTION_RESTORE,
        OPTION_VERSION
    };
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "dump-config", no_argument, NULL, OPTION_DUMP },
        { "offline", no_argument, NULL, OPTION_OFFLINE },
        { "explain", no_argument, NULL, OPTION_EXPLAIN },
        { "backup", required_argument, NULL, OPTION_BACKUP },
        { "restore", required_argument, NULL, OPTION_RESTORE },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct daemon           d = { .lock = PTHREAD_MUTEX_INITIALIZER, .signal_fd = -1 };
    const struct row_owners owners = row_owners();
    struct once_order       once = { .owners = owners.list };
    char                    found[4096];
    int                     option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            d.config_file = optarg;
            break;
        case OPTION_CHECK:
            once.what = ONCE_CHECK;
            break;
        case OPTION_DUMP:
            once.what = ONCE_DUMP;
            break;
        case OPTION_OFFLINE:
            once.what = ONCE_OFFLINE;
            break;
        case OPTION_EXPLAIN:
            once.what = ONCE_EXPLAIN;
            break;
        case OPTION_BACKUP:
        case OPTION_RESTORE:
            once.what = option == OPTION_BACKUP ? ONCE_BACKUP : ONCE_RESTORE;
            once.folder = optarg;
            break;
        case OPTION_VERSION:
            print_version();
            return 0;
        case 'h':
            print_help(stdout);
            return 0;
        default:
            print_help(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "weir: unexpected argument \"%s\"; see weir --help\n", argv[optind]);
        return 2;
    }
    if (d.config_file == NULL)
        d.config_file = config_find(found, sizeof found);
    once.config_file = d.config_file;
    return once.what == ONCE_NOT ? start(&d) : once_run(&once);
}
