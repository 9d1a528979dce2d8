#include "storage/brake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVIATIONS 6.0
#define NORMAL 1.4826 /* From a median deviation to a standard one. */
#define CHANGE_TIMES 3.0
#define CHANGE_LEAST 0.10
#define RATIO_ABOVE 0.25
#define RATIO_LEAST 0.85
#define RATIO_SHARE 0.01
#define RATIO_BYTES (1024.0 * 1024)
#define LEFT_LEAST 0.5

/* What a host says is new cannot be less than what came of it. */
static double
fresh_of(const struct brake_backup *b)
{
	return (double)(b->fresh > b->stored ? b->fresh : b->stored);
}

static double
share_of(const struct brake_backup *b, double data)
{
	double share = data > 0 ? fresh_of(b) / data : 0;

	return share < 1 ? share : 1;
}

static double
change_of(const struct brake_backup *b)
{
	return share_of(b, (double)b->logical);
}

/* Enough that its ratio means something? */
static int
has_ratio(const struct brake_backup *b)
{
	return fresh_of(b) >= RATIO_BYTES;
}

/* By the host's own count, so that who leaves some out stands out. */
static double
ratio_of(const struct brake_backup *b)
{
	double r = b->fresh > 0 ? (double)b->stored / (double)b->fresh : 2;

	return r < 2 ? r : 2;
}

static int
cmp(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Reorders `v`. */
static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), cmp);
	return n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

struct usual {
	double median, deviation;
};

static struct usual
usual_of(double *v, size_t n)
{
	struct usual u = { .median = median(v, n) };

	for (size_t i = 0; i < n; i++)
		v[i] = v[i] > u.median ? v[i] - u.median : u.median - v[i];
	u.deviation = median(v, n) * NORMAL;
	return u;
}

static double
larger(double a, double b)
{
	return a > b ? a : b;
}

/*
 * The change of `b`, of no more data than there used to be: a volume may name
 * one chunk a thousand times.
 */
static double
change_after(const struct brake_backup *b, const struct brake_backup *before, size_t n)
{
	double v[BRAKE_HISTORY], data;

	for (size_t i = 0; i < n; i++)
		v[i] = (double)before[i].logical;
	data = median(v, n);
	return share_of(
	    b, data > 0 && data < (double)b->logical ? data : (double)b->logical);
}

static int
judge_data(const struct brake_backup *b, const struct brake_backup *before, size_t n,
    char text[BRAKE_TEXT_MAX])
{
	uint64_t least = UINT64_MAX;

	if (n < BRAKE_NEEDS)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (before[i].logical < least)
			least = before[i].logical;
	if ((double)b->logical >= LEFT_LEAST * (double)least)
		return 0;
	(void)snprintf(text, BRAKE_TEXT_MAX,
	    "point %llu has %.1f %% of the data that the smallest of the %zu before it "
	    "has: was it emptied?",
	    (unsigned long long)b->sequence, 100 * (double)b->logical / (double)least, n);
	return 1;
}

static int
judge_change(const struct brake_backup *b, const struct brake_backup *before, size_t n,
    char text[BRAKE_TEXT_MAX])
{
	double v[BRAKE_HISTORY], most, change;
	struct usual u;

	if (n < BRAKE_NEEDS)
		return 0;
	change = change_after(b, before, n);
	for (size_t i = 0; i < n; i++)
		v[i] = change_of(&before[i]);
	u = usual_of(v, n);
	most = larger(u.median + DEVIATIONS * u.deviation,
	    larger(CHANGE_TIMES * u.median, CHANGE_LEAST));
	if (change <= most)
		return 0;
	(void)snprintf(text, BRAKE_TEXT_MAX,
	    "point %llu is new by %.1f %% of its data; the %zu before it by %.1f %%, up "
	    "to %.1f %% would be usual",
	    (unsigned long long)b->sequence, 100 * change, n, 100 * u.median, 100 * most);
	return 1;
}

static int
judge_ratio(const struct brake_backup *b, const struct brake_backup *before, size_t n,
    char text[BRAKE_TEXT_MAX])
{
	double v[BRAKE_HISTORY], most;
	struct usual u;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (has_ratio(&before[i]))
			v[k++] = ratio_of(&before[i]);
	if (k < BRAKE_NEEDS || !has_ratio(b) || change_after(b, before, n) < RATIO_SHARE)
		return 0;
	u = usual_of(v, k);
	most = larger(u.median + DEVIATIONS * u.deviation,
	    larger(u.median + RATIO_ABOVE, RATIO_LEAST));
	if (ratio_of(b) <= most)
		return 0;
	(void)snprintf(text, BRAKE_TEXT_MAX,
	    "what is new in point %llu compressed to %.0f %%; in the %zu before it to "
	    "%.0f %%, up to %.0f %% would be usual: is it encrypted?",
	    (unsigned long long)b->sequence, 100 * ratio_of(b), k, 100 * u.median,
	    100 * most);
	return 1;
}

int
brake_judge(
    const struct brake_backup *b, size_t n, uint64_t after, char text[BRAKE_TEXT_MAX])
{
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t first = i > BRAKE_HISTORY ? i - BRAKE_HISTORY : 0;

		if (b[i].sequence > after &&
		    (judge_data(&b[i], &b[first], i - first, text) ||
			judge_change(&b[i], &b[first], i - first, text) ||
			judge_ratio(&b[i], &b[first], i - first, text)))
			return 1;
	}
	return 0;
}
