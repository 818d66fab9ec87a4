/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: from the configuration that runs to another one, with nothing stopped before the new is known to stand.
 *
 * check  the file is tried in another process, so that a plugin that crashes or hangs does it there
 * load   the file is read again here, plugin files that changed under names never used before
 * diff   node by node
 * build  everything new is made and begun, beside what runs. What fails until here changes nothing
 * swap   each changed pipeline is held at the end of a batch, gets its new nodes and goes on; listeners, limits, Kafka
 * probation  a changed pipeline that fails before it has committed anything takes the reload back, by a reload to the
 *            configuration before
 *
 * One at a time; what is asked for meanwhile becomes one more run at the end. Loop thread only.
 */
#pragma once

#include "host/process-private.h"

struct fg_json_writer;

/* @origin: borrowed until freed. */
struct fg_reload *fg_reload_new(struct fg_process *process, const struct fg_process_origin *origin);
/*
 * The process stops: no more reloads; what is under way is given up where nothing was changed yet, else it goes on with
 * pipelines that end. Whoever waits for a report is told. Once; done(arg) when no callback of it is to come; then free.
 */
void fg_reload_stop(struct fg_reload *reload, fg_done_cb done, void *arg);
struct fg_reload *fg_reload_free(struct fg_reload *reload); /* NULL allowed */

/* From inside the flow: only noted, for a pipeline on probation. */
void fg_reload_pipeline_changed(struct fg_reload *reload, const struct fg_process_pipeline *pp,
                                const struct fg_pipeline_status *status);
/* FG_REPORT_RELOADS. @name: NULL, or a generation's number. @reload: NULL allowed: none has been. */
int fg_reload_write(const struct fg_reload *reload, const char *name, struct fg_json_writer *w, struct fg_error *err);
