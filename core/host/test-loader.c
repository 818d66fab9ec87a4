/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: what the loader finds, and the words with which it refuses each kind of wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/loader-private.h"

static struct fg_plugin_path test_path(void)
{
    struct fg_plugin_path path;
    const char *dir = getenv("FRAGUA_TEST_PLUGINS");

    assert_non_null(dir);
    assert_int_equal(fg_plugin_path_init(&path, &dir, 1, NULL), 0);
    return path;
}

static void expect_refusal(const char *name, int code, const char *text)
{
    struct fg_plugin_path path = test_path();
    struct fg_plugin_file *file = NULL;
    struct fg_error err = FG_ERROR_NULL;

    assert_true(fg_plugin_load(&path, name, NULL, &file, &err) < 0);
    assert_null(file);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not contain \"%s\"", err.text, text);
    assert_null(strchr(err.text, '\n'));
    fg_plugin_path_deinit(&path);
}

static void each_wrong_plugin_is_refused_in_its_own_words(void **state)
{
    expect_refusal("bad-abi", FG_E_CONFIG, "\"bad-abi\" was built for ABI 2, this is ABI 1: build it again");
    expect_refusal("bad-magic", FG_E_CONFIG, "\"bad-magic.so\" is no fragua plugin: its magic is 0x12345678");
    expect_refusal("bad-size", FG_E_CONFIG, "\"bad-size\" has a descriptor of 24 bytes, too small for ABI 1");
    expect_refusal("bad-symbol", FG_E_CONFIG, "bad-symbol.so\" exports no symbol fragua_plugin");
    expect_refusal("bad-callback", FG_E_CONFIG, "\"bad-callback\" lacks the mandatory callback open");
    expect_refusal("bad-name", FG_E_CONFIG, "\"bad-name.so\" says its name is \"good-name\"");
    expect_refusal("bad-options", FG_E_CONFIG, "\"bad-options\" has a bad option table: ");
}

static void an_unknown_plugin_is_answered_with_the_nearest_name(void **state)
{
    expect_refusal("good-ordr", FG_E_NOT_FOUND, "there is no plugin \"good-ordr\"; did you mean \"good-order\"?");
    expect_refusal("nothing-like-it", FG_E_NOT_FOUND, "there is no plugin \"nothing-like-it\" in ");
}

static void a_name_cannot_lead_out_of_the_folders(void **state)
{
    expect_refusal("../good-order", FG_E_CONFIG, "\"../good-order\" is no plugin name");
    expect_refusal("", FG_E_CONFIG, "is no plugin name");
    expect_refusal("Good-Order", FG_E_CONFIG, "is no plugin name");
}

static void a_good_plugin_says_what_it_is(void **state)
{
    struct fg_plugin_path path = test_path();
    struct fg_plugin_file *file;

    assert_int_equal(fg_plugin_load(&path, "good-order", NULL, &file, NULL), 0);
    assert_string_equal(file->plugin.name, "good-order");
    assert_string_equal(fg_kind_name(file->plugin.kind), "control");
    assert_int_equal(strlen(file->sha256), 64);
    assert_int_equal(fg_plugin_file_ref(file)->refs, 2);
    fg_plugin_file_unref(file);
    assert_string_equal(file->plugin.version, "1.0");
    fg_plugin_file_unref(file);
    fg_plugin_path_deinit(&path);
}

static void names_are_sorted_and_each_stands_once(void **state)
{
    const char *twice[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_TEST_PLUGINS") };
    struct fg_plugin_path path;
    size_t n, found = 0;
    char **names;

    assert_int_equal(fg_plugin_path_init(&path, twice, 2, NULL), 0);
    names = fg_plugin_names(&path, &n);
    for (size_t i = 0; i < n; i++) {
        found += strcmp(names[i], "good-order") == 0;
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
    assert_int_equal(found, 1);
    fg_plugin_names_free(names, n);
    fg_plugin_path_deinit(&path);
}

static void the_path_is_what_was_given_then_the_environment_then_the_installed(void **state)
{
    const char *given[] = { "/given" };
    const char *many[FG_PLUGIN_DIRS_MAX];
    struct fg_plugin_path path;
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(setenv("FRAGUA_PLUGIN_PATH", "/one::/two:", 1), 0);
    assert_int_equal(fg_plugin_path_init(&path, given, 1, NULL), 0);
    assert_int_equal(path.n, 4);
    assert_string_equal(path.dirs[0], "/given");
    assert_string_equal(path.dirs[1], "/one");
    assert_string_equal(path.dirs[2], "/two");
    assert_string_equal(path.dirs[3], FG_PLUGIN_DIR);
    fg_plugin_path_deinit(&path);
    assert_int_equal(unsetenv("FRAGUA_PLUGIN_PATH"), 0);
    for (size_t i = 0; i < FG_PLUGIN_DIRS_MAX; i++)
        many[i] = "/x";
    assert_true(fg_plugin_path_init(&path, many, FG_PLUGIN_DIRS_MAX, &err) < 0);
    assert_string_equal(err.text, "more than 16 plugin folders");
    assert_int_equal(path.n, 0);
}

/* A folder of one's own with plugin files, and what loads from there. */
struct room {
    char dir[64];
    struct fg_plugin_registry registry;
    struct fg_plugin_path path;
    unsigned told; /* how often it was told that a file is about to be used */
};

static void count_loading(void *arg, const char *name, const char *file, const char *sha256)
{
    struct room *room = arg;

    assert_string_equal(name, "good-order");
    assert_int_equal(strlen(sha256), 64);
    assert_ptr_equal(strstr(file, room->dir), file);
    room->told++;
}

static struct room *room_new(void)
{
    struct room *room = calloc(1, sizeof(*room));
    const char *dir = room->dir;

    (void)snprintf(room->dir, sizeof(room->dir), "/tmp/fragua-loader-XXXXXX");
    assert_non_null(mkdtemp(room->dir));
    fg_plugin_registry_init(&room->registry);
    assert_int_equal(fg_plugin_path_init(&room->path, &dir, 1, NULL), 0);
    room->path.registry = &room->registry;
    room->path.loading = count_loading;
    room->path.loading_arg = room;
    return room;
}

static void file_in(const struct room *room, const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%s.so", room->dir, name);
}

static void room_free(struct room *room)
{
    size_t n;
    char **names = fg_plugin_names(&room->path, &n);
    char file[128];

    for (size_t i = 0; i < n; i++) {
        file_in(room, names[i], file, sizeof(file));
        (void)unlink(file);
    }
    fg_plugin_names_free(names, n);
    assert_int_equal(rmdir(room->dir), 0);
    fg_plugin_path_deinit(&room->path);
    fg_plugin_registry_deinit(&room->registry);
    free(room);
}

/* Overwrites the very file: the worst that somebody can do to one that is loaded. */
static void write_file(const struct room *room, const char *name, struct fg_slice bytes, const char *tail)
{
    char file[128];
    int fd;

    file_in(room, name, file, sizeof(file));
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    assert_int_equal(write(fd, tail, strlen(tail)), strlen(tail));
    close(fd);
}

static struct fg_buf read_good(void)
{
    struct fg_buf bytes = FG_BUF_INIT(FG_PLUGIN_BYTES_MAX);
    char file[512];

    (void)snprintf(file, sizeof(file), "%s/good-order.so", getenv("FRAGUA_TEST_PLUGINS"));
    assert_int_equal(fg_read_file(file, FG_PLUGIN_BYTES_MAX, &bytes, NULL), 0);
    return bytes;
}

static void expect_refusal_in(struct room *room, const char *name, const char *sha256, const char *text)
{
    struct fg_plugin_file *file = NULL;
    struct fg_error err = FG_ERROR_NULL;

    assert_true(fg_plugin_load(&room->path, name, sha256, &file, &err) < 0);
    assert_null(file);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not contain \"%s\"", err.text, text);
}

static struct fg_plugin_file *load_good(struct room *room)
{
    struct fg_plugin_file *file = NULL;
    struct fg_error err = FG_ERROR_NULL;

    if (fg_plugin_load(&room->path, "good-order", NULL, &file, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(file->plugin.name, "good-order");
    return file;
}

static void files_that_are_no_whole_shared_objects_are_told_apart(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    struct fg_slice whole = fg_buf_slice(&good);

    for (size_t len = 4096; len < whole.len; len += whole.len / 7) {
        write_file(room, "good-order", fg_slice_sub(whole, 0, len), "");
        expect_refusal_in(room, "good-order", NULL, "good-order.so\" is cut off: it has ");
    }
    write_file(room, "good-order", fg_slice_sub(whole, 0, whole.len - 1), "");
    expect_refusal_in(room, "good-order", NULL, "copy it again, and rename it into place when it is whole");
    write_file(room, "good-order", fg_slice_sub(whole, 0, 20), "");
    expect_refusal_in(room, "good-order", NULL, "is cut off after 20 bytes");
    write_file(room, "good-order", FG_SLICE_NULL, "");
    expect_refusal_in(room, "good-order", NULL, "good-order.so\" is empty");
    write_file(room, "good-order", FG_SLICE_NULL, "this is a text\n");
    expect_refusal_in(room, "good-order", NULL, "good-order.so\" is not a shared object");
    good.data[18] ^= 0x40; /* e_machine */
    write_file(room, "good-order", whole, "");
    expect_refusal_in(room, "good-order", NULL, "was built for another machine (ELF machine ");
    good.data[18] ^= 0x40;
    memset(good.data + 40, 0xff, 8); /* e_shoff */
    write_file(room, "good-order", whole, "");
    expect_refusal_in(room, "good-order", NULL, "is damaged: it names places that no file has");
    assert_int_equal(room->told, 0);
    room_free(room);
}

static void a_pipe_or_a_folder_is_no_plugin_and_holds_nobody_up(void **state)
{
    struct room *room = room_new();
    char file[128];

    file_in(room, "pipe", file, sizeof(file));
    assert_int_equal(mkfifo(file, 0600), 0);
    expect_refusal_in(room, "pipe", NULL, "is no regular file");
    file_in(room, "folder", file, sizeof(file));
    assert_int_equal(mkdir(file, 0700), 0);
    expect_refusal_in(room, "folder", NULL, "is no regular file");
    assert_int_equal(rmdir(file), 0);
    room_free(room);
}

static void a_pin_is_looked_at_before_anything_runs(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    struct fg_plugin_file *file;
    char pin[FG_SHA256_HEX_SIZE];

    fg_sha256_hex(fg_buf_slice(&good), pin);
    write_file(room, "good-order", fg_buf_slice(&good), "");
    assert_int_equal(fg_plugin_load(&room->path, "good-order", pin, &file, NULL), 0);
    assert_string_equal(file->sha256, pin);
    for (char *c = pin; *c; c++)
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    assert_int_equal(fg_plugin_load(&room->path, "good-order", pin, &file, NULL), 0);
    assert_int_equal(file->refs, 2);
    fg_plugin_file_unref(file);
    fg_plugin_file_unref(file);
    assert_int_equal(room->told, 2);
    write_file(room, "good-order", fg_buf_slice(&good), "!");
    fg_plugin_registry_round(&room->registry);
    expect_refusal_in(room, "good-order", pin, "is another file than `sha256` says: it has ");
    expect_refusal_in(room, "good-order", "abc", "`sha256` is 64 hex digits, as `sha256sum good-order.so` prints");
    assert_int_equal(room->told, 2);
    room_free(room);
}

static void the_same_content_is_loaded_once_and_read_once_a_round(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    struct fg_plugin_file *old, *other, *now;

    write_file(room, "good-order", fg_buf_slice(&good), "");
    old = load_good(room);
    write_file(room, "good-order", fg_buf_slice(&good), "2");
    other = load_good(room); /* not read again in this round */
    assert_ptr_equal(other, old);
    fg_plugin_registry_round(&room->registry);
    now = load_good(room);
    assert_ptr_not_equal(now, old);
    assert_string_not_equal(now->sha256, old->sha256);
    assert_ptr_not_equal(now->plugin.control, old->plugin.control); /* it is the new code, not the old by its name */
    assert_string_equal(now->path, old->path);
    write_file(room, "good-order", fg_buf_slice(&good), "");
    fg_plugin_registry_round(&room->registry);
    fg_plugin_file_unref(other);
    other = load_good(room); /* back to what is loaded still */
    assert_ptr_equal(other, old);
    assert_int_equal(other->refs, 2);
    assert_int_equal(room->told, 4);
    fg_plugin_file_unref(other);
    fg_plugin_file_unref(old);
    fg_plugin_file_unref(now);
    assert_true(fg_list_empty(&room->registry.files));
    room_free(room);
}

#ifndef FG_SANITIZED /* there files stay loaded */
static unsigned count_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void generations_leave_nothing_open(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    struct fg_plugin_file *last = NULL;
    unsigned before = count_fds();
    char tail[16];

    for (unsigned i = 0; i < 50; i++) {
        struct fg_plugin_file *file;
        (void)snprintf(tail, sizeof(tail), "%u", i);
        write_file(room, "good-order", fg_buf_slice(&good), tail);
        fg_plugin_registry_round(&room->registry);
        file = load_good(room);
        assert_ptr_not_equal(file, last);
        assert_int_equal(fcntl(file->fd, F_GETFD), FD_CLOEXEC);
        fg_plugin_file_unref(last);
        last = file;
    }
    assert_int_equal(count_fds(), before + 1);
    fg_plugin_file_unref(last);
    assert_int_equal(count_fds(), before);
    assert_int_equal(room->told, 50);
    room_free(room);
}
#endif

static void the_bytes_that_run_cannot_be_written_in_either_way(void **state)
{
    static const unsigned ways[] = { FG_IMAGE_MEMORY, FG_IMAGE_COPY };
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    char file[512], pin[FG_SHA256_HEX_SIZE];

    (void)snprintf(file, sizeof(file), "%s/good-order.so", getenv("FRAGUA_TEST_PLUGINS"));
    fg_sha256_hex(fg_buf_slice(&good), pin);
    for (size_t i = 0; i < 2; i++) {
        struct fg_plugin_image image;
        struct fg_error err = FG_ERROR_NULL;
        struct stat st;
        if (fg_plugin_image_take(file, "good-order", false, ways[i], &image, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(image.sha256, pin);
        assert_true(write(image.fd, "x", 1) < 0);
        assert_true(ftruncate(image.fd, 0) < 0);
        assert_int_equal(fcntl(image.fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fstat(image.fd, &st), 0);
        assert_int_equal(st.st_nlink, 0); /* nobody else finds it */
        assert_int_equal(st.st_size, good.len);
        close(image.fd);
    }
}

/* What is linked to is as good as the folders on the way to it. */
static void a_link_in_a_folder_of_others_is_not_followed_to_roots_file(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    char file[128], folder[96], way[96], link[128];

    if (geteuid() != 0) {
        room_free(room);
        skip();
    }
    write_file(room, "good-order", fg_buf_slice(&good), "");
    file_in(room, "good-order", file, sizeof(file));
    (void)snprintf(folder, sizeof(folder), "%s/others", room->dir);
    (void)snprintf(link, sizeof(link), "%s/good-order.so", folder);
    (void)snprintf(way, sizeof(way), "%s/way", room->dir);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(symlink("../good-order.so", link), 0);
    assert_int_equal(symlink("others/../others", way), 0);
    free(room->path.dirs[0]);
    room->path.dirs[0] = strdup(way);
    room->path.root_only = true;
    fg_plugin_file_unref(load_good(room));
    assert_int_equal(chmod(folder, 0777), 0);
    expect_refusal_in(room, "good-order", NULL, "/others\" can be written by others than root");
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(lchown(link, 65534, 0), 0);
    expect_refusal_in(room, "good-order", NULL, "its link \"/tmp/");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(way), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(unlink(file), 0);
    room_free(room);
}

static void only_roots_files_are_taken_where_that_is_asked_for(void **state)
{
    struct room *room = room_new();
    FG_CLEANUP(fg_buf_deinit) struct fg_buf good = read_good();
    char file[128];

    write_file(room, "good-order", fg_buf_slice(&good), "");
    file_in(room, "good-order", file, sizeof(file));
    room->path.root_only = true;
    if (geteuid() != 0) {
        expect_refusal_in(room, "good-order", NULL, "and `plugins.owner` is root: chown root \"/tmp/");
        room_free(room);
        return;
    }
    fg_plugin_file_unref(load_good(room));
    assert_int_equal(chmod(file, 0775), 0);
    expect_refusal_in(room, "good-order", NULL, "its file \"/tmp/");
    expect_refusal_in(room, "good-order", NULL, "can be written by others than root, and `plugins.owner` is root: ");
    assert_int_equal(chmod(file, 0755), 0);
    assert_int_equal(chown(file, 65534, 0), 0);
    expect_refusal_in(room, "good-order", NULL, "belongs to user 65534, and `plugins.owner` is root: chown root");
    assert_int_equal(chown(file, 0, 0), 0);
    assert_int_equal(chmod(room->dir, 01777), 0); /* sticky is not enough for the folder itself */
    expect_refusal_in(room, "good-order", NULL, "its folder \"/tmp/");
    assert_int_equal(chmod(room->dir, 0755), 0);
    assert_int_equal(chown(room->dir, 65534, 0), 0);
    expect_refusal_in(room, "good-order", NULL, "belongs to user 65534");
    assert_int_equal(chown(room->dir, 0, 0), 0);
    fg_plugin_file_unref(load_good(room));
    room_free(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_plugin_is_refused_in_its_own_words),
        cmocka_unit_test(an_unknown_plugin_is_answered_with_the_nearest_name),
        cmocka_unit_test(a_name_cannot_lead_out_of_the_folders),
        cmocka_unit_test(a_good_plugin_says_what_it_is),
        cmocka_unit_test(files_that_are_no_whole_shared_objects_are_told_apart),
        cmocka_unit_test(a_pipe_or_a_folder_is_no_plugin_and_holds_nobody_up),
        cmocka_unit_test(a_pin_is_looked_at_before_anything_runs),
        cmocka_unit_test(the_same_content_is_loaded_once_and_read_once_a_round),
#ifndef FG_SANITIZED
        cmocka_unit_test(generations_leave_nothing_open),
#endif
        cmocka_unit_test(the_bytes_that_run_cannot_be_written_in_either_way),
        cmocka_unit_test(a_link_in_a_folder_of_others_is_not_followed_to_roots_file),
        cmocka_unit_test(only_roots_files_are_taken_where_that_is_asked_for),
        cmocka_unit_test(names_are_sorted_and_each_stands_once),
        cmocka_unit_test(the_path_is_what_was_given_then_the_environment_then_the_installed),
    };

    return cmocka_run_group_tests_name("host loader", tests, NULL, NULL);
}
