/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rig share. */
#pragma once

#include "flow-rig.h"

extern const struct fg_plugin rig_transform_plugin, rig_sink_plugin, rig_source_plugin;
void rig_source_stop(struct rig *rig); /* as a plugin's stop() does: gives back what it holds */
/* A record with this value and everything else as `parent`; output may be NULL. */
struct fg_record *rig_record(struct rig *rig, struct fg_record *parent, const char *output, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
