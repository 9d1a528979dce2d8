/* A host is judged by its newest point with disks and by the image of today. */
#include "proto/layout/layout.h"
#include "server/preflight.h"
#include "tests/unit/storage/store_rig.h"

#define AHCI "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"
#define RAID "pci:v00009005d0000028Fsv00009005sd00000600bc01sc07i00"
#define E1000 "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"
#define BNX2X "pci:v000014E4d0000168Esv00001028sd00001F67bc02sc00i00"
#define TABLE                                      \
	"alias pci:v*d*sv*sd*bc01sc06i01* ahci\n"  \
	"alias pci:v00008086d000010D3sv* e1000e\n" \
	"alias pci:v000014E4d0000168Esv* bnx2x\n"  \
	"lacks-firmware bnx2x\n"

static const uint32_t blocks[] = { 5, 6 };
static const struct rig_volume volume = { blocks, 2 };

struct world {
	char dir[64], image[96];
	struct store *s;
	struct preflight *p;
	struct preflight_report *r;
	struct layout *l;
	struct err err;
};

static void
write_table(const struct world *w, const char *text)
{
	char path[160], next[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/modules.alias", w->image);
	(void)snprintf(next, sizeof(next), "%s/next", w->image);
	f = fopen(next, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(next, path), 0);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char command[128];

	assert_non_null(w);
	rig_dir(w->dir);
	(void)snprintf(w->image, sizeof(w->image), "%s.image", w->dir);
	(void)snprintf(command, sizeof(command), "mkdir '%s'", w->image);
	assert_int_equal(system(command), 0);
	write_table(w, TABLE);
	rig_ok(store_init(w->dir, &w->err), &w->err);
	rig_ok(store_open(w->dir, &w->s, &w->err), &w->err);
	rig_ok(preflight_open(w->image, &w->p, &w->err), &w->err);
	w->r = calloc(1, sizeof(*w->r));
	w->l = calloc(1, sizeof(*w->l));
	assert_true(w->r != NULL && w->l != NULL);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	preflight_close(w->p);
	store_close(w->s);
	rig_remove(w->dir);
	rig_remove(w->image);
	free(w->r);
	free(w->l);
	free(w);
	return 0;
}

static void
device(struct layout *l, uint8_t kind, const char *modalias)
{
	struct layout_device *d = &l->devices[l->devices_count++];

	d->kind = kind;
	(void)snprintf(d->modalias, sizeof(d->modalias), "%s", modalias);
}

/* A machine of one disk; its controllers are the caller's. */
static void
machine(struct layout *l)
{
	memset(l, 0, sizeof(*l));
	l->disks_count = 1;
	strcpy(l->disks[0].name, "disk0");
	l->disks[0].boots = 1;
	l->disks[0].size = 2 * RIG_BLOCK;
	l->disks[0].sector_size = 512;
	l->firmware = LAYOUT_UEFI;
}

/* Back up the machine `w->l`, or one that says nothing of itself. */
static uint64_t
back_up(struct world *w, const char *host, int says)
{
	struct buf facts = BUF_INIT(LAYOUT_LEN_MAX);
	struct store_point *point = malloc(sizeof(*point));
	uint64_t sequence;

	assert_non_null(point);
	if (says)
		rig_ok(layout_pack(w->l, &facts, &w->err), &w->err);
	rig_ok(rig_backup_facts(w->s, host, &volume, &facts, point, &w->err), &w->err);
	sequence = point->sequence;
	free(point);
	buf_free(&facts);
	return sequence;
}

static int
says(char (*lines)[PREFLIGHT_LINE_MAX], unsigned count, const char *what)
{
	for (unsigned i = 0; i < count; i++) {
		if (strstr(lines[i], what) != NULL)
			return 1;
	}
	return 0;
}

static void
judge(struct world *w, const char *host)
{
	rig_ok(preflight_host(w->p, w->s, host, w->r, &w->err), &w->err);
}

static void
a_machine_whose_controllers_are_driven_can_be_restored(void **state)
{
	struct world *w = *state;

	machine(w->l);
	device(w->l, LAYOUT_STORAGE, AHCI);
	device(w->l, LAYOUT_NETWORK, E1000);
	device(w->l, LAYOUT_NETWORK, BNX2X);
	device(w->l, LAYOUT_OTHER, "pci:v0000FFFF");
	assert_int_equal(back_up(w, "web01", 1), 1);
	judge(w, "web01");
	assert_int_equal(w->r->sequence, 1);
	assert_int_equal(w->r->problems_count, 0);
	assert_int_equal(w->r->devices_count, 4);
	assert_string_equal(w->r->devices[0].modules, "ahci");
	assert_string_equal(w->r->devices[1].modules, "e1000e");
	/* One network is enough; the other is still said. */
	assert_int_equal(w->r->devices[2].verdict, DRIVERS_LACKED);
	assert_true(says(w->r->notes, w->r->notes_count, "bnx2x needs firmware"));
	assert_true(says(w->r->notes, w->r->notes_count, "UEFI"));
}

static void
a_disk_controller_without_a_driver_is_a_problem(void **state)
{
	struct world *w = *state;

	machine(w->l);
	device(w->l, LAYOUT_STORAGE, AHCI);
	device(w->l, LAYOUT_STORAGE, RAID);
	device(w->l, LAYOUT_NETWORK, E1000);
	(void)back_up(w, "web01", 1);
	judge(w, "web01");
	assert_int_equal(w->r->problems_count, 1);
	assert_true(says(w->r->problems, 1, "storage controller " RAID ": no driver"));
}

static void
no_network_that_is_driven_is_a_problem(void **state)
{
	struct world *w = *state;

	machine(w->l);
	device(w->l, LAYOUT_STORAGE, AHCI);
	device(w->l, LAYOUT_NETWORK, BNX2X);
	(void)back_up(w, "web01", 1);
	judge(w, "web01");
	assert_int_equal(w->r->problems_count, 1);
	assert_true(says(w->r->problems, 1, "bnx2x needs firmware"));
}

static void
what_the_new_machine_must_have_is_said(void **state)
{
	struct world *w = *state;

	machine(w->l);
	w->l->firmware = LAYOUT_BIOS;
	w->l->secure_boot = 1;
	w->l->disks[0].sector_size = 4096;
	w->l->disks[0].boots = 0;
	(void)back_up(w, "web01", 1);
	judge(w, "web01");
	assert_int_equal(w->r->problems_count, 0);
	assert_true(says(w->r->notes, w->r->notes_count, "BIOS"));
	assert_true(says(w->r->notes, w->r->notes_count, "Secure Boot"));
	assert_true(says(w->r->notes, w->r->notes_count, "4096 bytes"));
	assert_true(says(w->r->notes, w->r->notes_count, "which disk it starts from"));
	assert_true(says(w->r->notes, w->r->notes_count, "no storage controller"));
	assert_true(says(w->r->notes, w->r->notes_count, "no network controller"));
}

static void
the_newest_point_with_disks_counts(void **state)
{
	struct world *w = *state;

	judge(w, "nobody");
	assert_int_equal(w->r->problems_count, 1);
	assert_true(says(w->r->problems, 1, "only volumes can be restored"));
	machine(w->l);
	device(w->l, LAYOUT_STORAGE, RAID);
	(void)back_up(w, "web01", 1);
	w->l->devices_count = 0;
	device(w->l, LAYOUT_STORAGE, AHCI);
	(void)back_up(w, "web01", 1);
	(void)back_up(w, "web01", 0);
	(void)back_up(w, "other", 0);
	judge(w, "web01");
	assert_int_equal(w->r->sequence, 2);
	assert_int_equal(w->r->problems_count, 0);
	judge(w, "other");
	assert_int_equal(w->r->sequence, 0);
	assert_int_equal(w->r->problems_count, 1);
}

static void
flag(struct world *w, const char *host, uint64_t points, char text[PREFLIGHT_FLAG_MAX])
{
	rig_ok(preflight_flag(w->p, w->s, host, points, (int64_t)points, text, &w->err),
	    &w->err);
}

static void
a_flag_ends_with_a_backup_or_an_image_that_is_better(void **state)
{
	struct world *w = *state;
	char text[PREFLIGHT_FLAG_MAX];

	flag(w, "web01", 0, text);
	assert_string_equal(text, "");
	machine(w->l);
	device(w->l, LAYOUT_STORAGE, RAID);
	device(w->l, LAYOUT_NETWORK, BNX2X);
	(void)back_up(w, "web01", 1);
	for (int again = 0; again < 2; again++) {
		flag(w, "web01", 1, text);
		assert_non_null(strstr(text, RAID));
		assert_non_null(strstr(text, "and 1 more"));
	}
	/* An image with its driver. */
	write_table(
	    w, TABLE "alias pci:v00009005d0000028Fsv* smartpqi\nalias pci:*bc02* n\n");
	flag(w, "web01", 1, text);
	assert_string_equal(text, "");
	write_table(w, TABLE);
	flag(w, "web01", 1, text);
	assert_non_null(strstr(text, RAID));
	/* A table that is none is not believed. */
	write_table(w, "alias half\n");
	flag(w, "web01", 1, text);
	assert_non_null(strstr(text, RAID));
	/* Another controller in it. */
	w->l->devices_count = 0;
	device(w->l, LAYOUT_STORAGE, AHCI);
	(void)back_up(w, "web01", 1);
	flag(w, "web01", 2, text);
	assert_string_equal(text, "");
}

static void
hosts_that_back_up_volumes_only_are_not_flagged(void **state)
{
	struct world *w = *state;
	char text[PREFLIGHT_FLAG_MAX];

	(void)back_up(w, "web01", 0);
	flag(w, "web01", 1, text);
	assert_string_equal(text, "");
}

static void
many_hosts_are_remembered_each_for_itself(void **state)
{
	struct world *w = *state;
	char text[PREFLIGHT_FLAG_MAX], name[16];

	for (int i = 0; i < 20; i++) {
		machine(w->l);
		device(w->l, LAYOUT_STORAGE, i % 3 == 0 ? RAID : AHCI);
		(void)snprintf(name, sizeof(name), "h%d", i * 7 % 20);
		(void)back_up(w, name, 1);
	}
	for (int again = 0; again < 2; again++) {
		for (int i = 0; i < 20; i++) {
			(void)snprintf(name, sizeof(name), "h%d", i * 7 % 20);
			flag(w, name, 1, text);
			assert_int_equal(text[0] != '\0', i % 3 == 0);
		}
	}
}

static void
a_directory_without_a_table_is_refused(void **state)
{
	struct world *w = *state;
	struct preflight *p = NULL;

	assert_int_equal(preflight_open("/nonexistent", &p, &w->err), -1);
	assert_non_null(strstr(w->err.text, "modules.alias"));
	err_clear(&w->err);
	write_table(w, "alias x\n");
	assert_int_equal(preflight_open(w->image, &p, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	assert_non_null(strstr(w->err.text, "line 1"));
}

int
main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_machine_whose_controllers_are_driven_can_be_restored),
		CASE(a_disk_controller_without_a_driver_is_a_problem),
		CASE(no_network_that_is_driven_is_a_problem),
		CASE(what_the_new_machine_must_have_is_said),
		CASE(the_newest_point_with_disks_counts),
		CASE(a_flag_ends_with_a_backup_or_an_image_that_is_better),
		CASE(hosts_that_back_up_volumes_only_are_not_flagged),
		CASE(many_hosts_are_remembered_each_for_itself),
		CASE(a_directory_without_a_table_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
