/*
 * A daemon for tests of the API: the real server, store, event log and job queue on a main loop of its own thread, over
 * a manager that only pretends to have VMs; and a plain blocking HTTP client.
 */
#pragma once

#include "api/server.h"

/* What the pretended verbs work on. */
typedef struct {
        ByteStream stream;
        Manager *manager;
} DaemonStream;

struct Manager {
        GMutex lock;
        GCond changed;
        JobQueue *jobs;
        Store *store;
        EventLog *events;
        int64_t generation;         /* of every VM */
        bool gate;                  /* vm.start and vm.exec wait until it is open */
        unsigned started, executed; /* how many times they ran */
        unsigned cancelled;         /* how many vm.exec were cancelled */
        HostlerPower power;         /* of every VM */
        ByteSink sink;              /* of the one stream; its data NULL: detached */
        DaemonStream stream;
        GMainContext *context;
};

typedef struct {
        char *dir, *socket;
        AuthRule rule;
        Manager manager;
        ApiServer *api;
        GThread *thread;
        GMainContext *context;
        GMainLoop *loop;
} Daemon;

/* In a new folder, in session mode of this user. */
void daemon_init(Daemon *daemon);
/* May be started and stopped several times on the same folder. */
void daemon_up(Daemon *daemon);
void daemon_down(Daemon *daemon);
void daemon_clear(Daemon *daemon);
/* Runs @func on the daemon's main loop and waits for it. */
void daemon_do(Daemon *daemon, void (*func)(Daemon *daemon));
void daemon_open_gate(Daemon *daemon, bool open);

typedef struct {
        int status;
        char *headers; /* all lines */
        char *text;    /* the body */
        json_t *json;  /* NULL if it is none */
} Response;
void response_clear(Response *response);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Response, response_clear)
char *response_header(const Response *response, const char *name);

int http_connect(const char *path);
void http_send(int fd, const char *method, const char *target, const char *headers, const char *body);
/* False if the connection ended before a whole response. Every response is also appended to the file
 * $HOSTLER_API_RECORD. */
bool http_receive(int fd, const char *method, const char *target, Response *ret_response);
/* One request on a connection of its own. @headers: whole lines with \r\n, or NULL. */
Response http_call(Daemon *daemon, const char *method, const char *target, const char *headers, const char *body);
/* "code" of a problem document, asserting that it is one. */
const char *response_code(const Response *response);
/* The job's id out of a 202. Owned by the caller. */
char *response_job(const Response *response);
