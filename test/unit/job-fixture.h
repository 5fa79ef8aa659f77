/*
 * A job queue over a store in a folder of its own, with verbs made for tests. test-job*.c share it.
 *
 * The verbs act by making files in the fixture's folder, so that what was done and undone can be seen afterwards, also
 * by another process.
 */
#pragma once

#include "job/job.h"

/* What verbs and operations reach; test/unit's own idea of it. */
struct Manager {
        char *dir;
        int gate;    /* atomic: fake.wait goes on when it is 1 */
        int running; /* atomic: verbs inside fake.wait now */
        int most;    /* atomic: the highest that was */
        int hanging; /* atomic: operations inside "hang" now */
        GMutex lock;
        GString *log; /* names of jobs as their verbs ran and operations as they were done, each with a space behind */
};

typedef struct {
        char *dir, *path;
        Manager manager;
        Store *store;
        EventLog *events;
        JobQueue *queue;
} JobFixture;

/* Arguments of all fake verbs. */
typedef struct {
        char *name;
        char *secret;
} FakeArgs;

void job_fixture_set_up(JobFixture *fixture, const void *data);
void job_fixture_tear_down(JobFixture *fixture, const void *data);
/* Takes over the folder @dir, which stays at the end. */
void job_fixture_open(JobFixture *fixture, const char *dir);
void job_fixture_close(JobFixture *fixture);

/* Submits fake.@verb on @turn_key (NULL: none) and gives the id. Asserts that it is taken. Caller frees. */
char *job_fixture_submit(JobFixture *fixture, const char *verb, const char *name, const char *turn_key);
JobRequest job_fixture_request(const char *verb, const FakeArgs *args, const char *turn_key);
HostlerJob job_fixture_wait(JobFixture *fixture, const char *id); /* clear with hostler_job_type */
bool job_fixture_has(JobFixture *fixture, const char *file);
void job_fixture_until(JobFixture *fixture, const char *id, HostlerJobState state);
