/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: loaded, filled, written out. */
#include <stdint.h>

#include "base/json.h"
#include "base/mem.h"
#include "conf/conf-private.h"
#include "conf/test-table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(16u * 1024 * 1024);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
    struct fg_conf_values *values = NULL;
    struct fg_conf_node *root = NULL;
    struct test_config config;

    if (memmem(data, size, "${file:", 7))
        return 0; /* the file system is no business of a fuzzer */
    if (fg_conf_parse(fg_slice_make(data, size), "f.yaml", &root, &faults) == 0) {
        (void)fg_conf_fill(root, NULL, test_table, NULL, &config, sizeof(config), &values, &faults);
        fg_conf_tree_write(&w, root);
        fg_assert(fg_json_valid(fg_buf_slice(&out)));
    } else {
        fg_assert(faults.len > 0);
    }
    for (size_t i = 0; i < faults.len; i++)
        fg_assert(faults.items[i].text[0] != '\0');
    fg_conf_faults_sort(&faults);
    fg_conf_values_free(values);
    fg_conf_node_free(root);
    return 0;
}
