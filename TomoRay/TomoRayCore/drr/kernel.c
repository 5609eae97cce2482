/* The two primitives of slices.py in C: the same numbers to float32 rounding, several times faster.

   Optional: without the library that build.py makes of this file, numpy does the work. No
   dependency, no thread, no global state; any C99 compiler will do. Steps are in elements.

   A slice is resampled along rows and along columns, in the order that needs fewer look-ups:
   columns are looked up one by one, whereas a row is blended from two rows as a whole. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define WITH_AVX2 1 /* in one function, where the processor has it */
#else
#define WITH_AVX2 0
#endif

/* build.py defines this as the SHA-256 of this file, by which kernel.py knows a stale library. */
#ifndef TOMORAY_SOURCE
#define TOMORAY_SOURCE "unknown"
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* The compiler makes a second version for processors with AVX2; the loader picks one. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define MULTIVERSION __attribute__((target_clones("avx2", "default")))
#else
#define MULTIVERSION
#endif

#define TILE 4
#define GROUP 16 /* slices turned at once where the columns of a slice are not neighbours */

/* Where positions fall along an axis of one slice: between lower and lower + 1, -1 <= lower <= size,
   with 0 beyond the axis. Only first <= position number < last touch it. */
typedef struct {
    ptrdiff_t first, last;
    int32_t *lower;
    float *upper_weight;
} Axis;

typedef struct {
    const double *row_positions, *column_positions; /* counted from first_row, first_column */
    double first_row, first_column;
    ptrdiff_t rows, columns;
    float *image;
    ptrdiff_t image_step;
} Film;

typedef struct {
    float *values;
    ptrdiff_t height, width;
    ptrdiff_t row_step; /* columns are neighbours */
} Slice;

/* All scratch memory of one call. */
typedef struct {
    Axis rows, columns;
    float *line[2]; /* width + 10: a row after one zero and before nine */
    float *found[2]; /* columns: a row's values where the film's columns fall */
    float *zeros; /* max(width, columns) */
    float *turned; /* GROUP slices, or NULL */
} Scratch;

#define BLOCK 8

/* Whether any of a few positions touches an axis that reaches from start to start + size. */
static inline int touches(const double *positions, int count, double start, double size)
{
    int any = 0;
    for (int n = 0; n < count; n++) {
        const double at = positions[n] - start;
        any |= (at > -1.0) & (at < size);
    }
    return any;
}

MULTIVERSION
static void locate(Axis *axis, const double *restrict positions, ptrdiff_t count, double start,
                   ptrdiff_t size)
{
    const double end = (double)size;
    int32_t *restrict lower = axis->lower;
    float *restrict upper_weight = axis->upper_weight;
    ptrdiff_t first = 0, last = count;
    while (first + BLOCK <= last && !touches(positions + first, BLOCK, start, end)) first += BLOCK;
    while (first < last && !touches(positions + first, 1, start, end)) first++;
    while (first + BLOCK <= last && !touches(positions + last - BLOCK, BLOCK, start, end))
        last -= BLOCK;
    while (last > first && !touches(positions + last - 1, 1, start, end)) last--;
    for (ptrdiff_t n = first; n < last; n++) {
        const double from = positions[n] - start;
        const double kept = from > -1.0 ? from : -1.0; /* also when not a number */
        const double at = kept < end ? kept : end;
        const int32_t below = (int32_t)(at + 1.0) - 1;
        lower[n] = below;
        upper_weight[n] = (float)(at - (double)below);
    }
    axis->first = first;
    axis->last = last;
}

static const float *row_or_zeros(const Slice *slice, ptrdiff_t row, const float *zeros)
{
    return row >= 0 && row < slice->height ? slice->values + row * slice->row_step : zeros;
}

/* sum[n] += the padded line at the film's columns */
MULTIVERSION
static void add_look_up(const float *restrict line, const Axis *axis, float *restrict sum)
{
    const int32_t *restrict lower = axis->lower;
    const float *restrict weight = axis->upper_weight;
    for (ptrdiff_t n = axis->first; n < axis->last; n++) {
        const float a = line[lower[n] + 1], b = line[lower[n] + 2];
        sum[n] += a + weight[n] * (b - a);
    }
}

/* found[n] = the padded line at the film's columns */
MULTIVERSION
static void look_up_plainly(const float *restrict line, const Axis *axis, ptrdiff_t first,
                            ptrdiff_t last, float *restrict found)
{
    const int32_t *restrict lower = axis->lower;
    const float *restrict weight = axis->upper_weight;
    for (ptrdiff_t n = first; n < last; n++) {
        const float a = line[lower[n] + 1], b = line[lower[n] + 2];
        found[n] = a + weight[n] * (b - a);
    }
}

#if WITH_AVX2
/* The same, eight at a time: columns finer than voxels find all they need in eight neighbours,
   which are loaded once and shuffled. Returns how far it came. */
__attribute__((target("avx2,fma")))
static ptrdiff_t look_up_densely(const float *restrict line, const Axis *axis,
                                 float *restrict found)
{
    const __m256i beyond = _mm256_set1_epi32(~7);
    ptrdiff_t n = axis->first;
    for (; n + 8 <= axis->last; n += 8) {
        const int32_t start = axis->lower[n] < axis->lower[n + 7] ? axis->lower[n]
                                                                  : axis->lower[n + 7];
        const __m256i lower = _mm256_loadu_si256((const __m256i *)(axis->lower + n));
        const __m256i at = _mm256_sub_epi32(lower, _mm256_set1_epi32(start));
        if (!_mm256_testz_si256(at, beyond)) {
            look_up_plainly(line, axis, n, n + 8, found);
            continue;
        }
        const __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(line + start + 1), at);
        const __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(line + start + 2), at);
        const __m256 weight = _mm256_loadu_ps(axis->upper_weight + n);
        _mm256_storeu_ps(found + n, _mm256_fmadd_ps(weight, _mm256_sub_ps(b, a), a));
    }
    return n;
}
#endif

static void look_up(const float *restrict line, const Axis *axis, float *restrict found)
{
    ptrdiff_t first = axis->first;
#if WITH_AVX2
    /* Coarser columns would fail the test of eight neighbours almost always. */
    const ptrdiff_t middle = (axis->first + axis->last) / 2;
    const int finer = middle + 8 <= axis->last &&
                      abs(axis->lower[middle + 7] - axis->lower[middle]) < 8;
    if (finer && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        first = look_up_densely(line, axis, found);
#endif
    look_up_plainly(line, axis, first, axis->last, found);
}

MULTIVERSION
static void blend(const float *restrict a, const float *restrict b, float weight, ptrdiff_t count,
                  float *restrict out)
{
    for (ptrdiff_t n = 0; n < count; n++) out[n] = a[n] + weight * (b[n] - a[n]);
}

MULTIVERSION
static void add_blend(const float *restrict a, const float *restrict b, float weight,
                      ptrdiff_t count, float *restrict sum)
{
    for (ptrdiff_t n = 0; n < count; n++) sum[n] += a[n] + weight * (b[n] - a[n]);
}

/* Few film rows: blend two voxel rows into one, then look its columns up. */
static void sum_rows_first(const Slice *slice, const Film *film, Scratch *s)
{
    for (ptrdiff_t r = s->rows.first; r < s->rows.last; r++) {
        const ptrdiff_t lower = s->rows.lower[r];
        blend(row_or_zeros(slice, lower, s->zeros), row_or_zeros(slice, lower + 1, s->zeros),
              s->rows.upper_weight[r], slice->width, s->line[0] + 1);
        add_look_up(s->line[0], &s->columns, film->image + r * film->image_step);
    }
}

/* Many film rows: look the columns of each voxel row up once, then blend those. */
static void sum_columns_first(const Slice *slice, const Film *film, Scratch *s)
{
    ptrdiff_t held[2] = {-2, -2}; /* which voxel rows found[0] and found[1] hold */
    const ptrdiff_t first = s->columns.first, count = s->columns.last - first;
    for (ptrdiff_t r = s->rows.first; r < s->rows.last; r++) {
        const ptrdiff_t lower = s->rows.lower[r];
        const float *pair[2];
        for (int n = 0; n < 2; n++) {
            const ptrdiff_t row = lower + n, place = row & 1;
            if (row < 0 || row >= slice->height) {
                pair[n] = s->zeros;
                continue;
            }
            if (held[place] != row) {
                memcpy(s->line[0] + 1, slice->values + row * slice->row_step,
                       (size_t)slice->width * sizeof(float));
                look_up(s->line[0], &s->columns, s->found[place]);
                held[place] = row;
            }
            pair[n] = s->found[place] + first;
        }
        add_blend(pair[0], pair[1], s->rows.upper_weight[r], count,
                  film->image + r * film->image_step + first);
    }
}

static void sum_slice(const Slice *slice, const Film *film, Scratch *s)
{
    if (s->rows.last - s->rows.first > slice->height)
        sum_columns_first(slice, film, s);
    else
        sum_rows_first(slice, film, s);
}

/* Transpose of sum_slice: every film row is shared out to columns, then to two voxel rows. */
MULTIVERSION
static void spread_slice(const Slice *slice, const Film *film, Scratch *s)
{
    float *line = s->line[0];
    for (ptrdiff_t r = s->rows.first; r < s->rows.last; r++) {
        const float *pixels = film->image + r * film->image_step;
        const ptrdiff_t lower = s->rows.lower[r];
        const float upper_weight = s->rows.upper_weight[r];
        memset(line, 0, (size_t)(slice->width + 10) * sizeof(float));
        for (ptrdiff_t n = s->columns.first; n < s->columns.last; n++) {
            const float upper = s->columns.upper_weight[n] * pixels[n];
            line[s->columns.lower[n] + 1] += pixels[n] - upper;
            line[s->columns.lower[n] + 2] += upper;
        }
        for (int n = 0; n < 2; n++) {
            const float weight = n ? upper_weight : 1.0f - upper_weight;
            if (lower + n < 0 || lower + n >= slice->height) continue;
            float *restrict row = slice->values + (lower + n) * slice->row_step;
            const float *restrict from = line + 1;
            for (ptrdiff_t w = 0; w < slice->width; w++) row[w] += weight * from[w];
        }
    }
}

/* to[w][g] = from[g][w], or the other way round, for a tile of TILE x TILE. */
static void turn_tile(const float *from, ptrdiff_t from_step, float *to, ptrdiff_t to_step)
{
#if defined(__SSE__) || defined(_M_X64)
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_step);
    __m128 c = _mm_loadu_ps(from + 2 * from_step), d = _mm_loadu_ps(from + 3 * from_step);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to, a);
    _mm_storeu_ps(to + to_step, b);
    _mm_storeu_ps(to + 2 * to_step, c);
    _mm_storeu_ps(to + 3 * to_step, d);
#else
    for (int n = 0; n < TILE; n++)
        for (int m = 0; m < TILE; m++) to[m * to_step + n] = from[n * from_step + m];
#endif
}

/* Copy (slices, width) of one row to or from the scratch, tile by tile, so that every cache line is
   used whole. Tiles need neighbouring slices; the rest goes one by one. */
static void turn_row(float *row, const ptrdiff_t steps[3], float *turned, ptrdiff_t turned_step,
                     ptrdiff_t slices, ptrdiff_t width, int back)
{
    const int tiled = steps[0] == 1;
    const ptrdiff_t whole_slices = tiled ? slices / TILE * TILE : 0;
    const ptrdiff_t whole_width = tiled ? width / TILE * TILE : 0;
    for (ptrdiff_t w = 0; w < whole_width; w += TILE) {
        for (ptrdiff_t g = 0; g < whole_slices; g += TILE) {
            float *here = row + w * steps[2] + g, *there = turned + g * turned_step + w;
            if (back)
                turn_tile(there, turned_step, here, steps[2]);
            else
                turn_tile(here, steps[2], there, turned_step);
        }
    }
    for (ptrdiff_t g = 0; g < slices; g++) {
        for (ptrdiff_t w = g < whole_slices ? whole_width : 0; w < width; w++) {
            float *here = row + g * steps[0] + w * steps[2], *there = turned + g * turned_step + w;
            if (back)
                *here = *there;
            else
                *there = *here;
        }
    }
}

static void *zeroed(size_t count, size_t size) { return calloc(count ? count : 1, size); }

static void release(Scratch *s)
{
    void *all[] = {s->rows.lower,    s->rows.upper_weight, s->columns.lower,
                   s->columns.upper_weight, s->line[0], s->found[0], s->found[1], s->zeros,
                   s->turned};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) free(all[n]);
}

/* Off a power of two, where all slices of a group would compete for the same cache lines. */
static ptrdiff_t plane_size(ptrdiff_t height, ptrdiff_t width) { return height * width + GROUP; }

static int prepare(Scratch *s, const Film *film, ptrdiff_t height, ptrdiff_t width, int turning)
{
    const size_t rows = (size_t)film->rows, columns = (size_t)film->columns;
    const size_t longest = columns > (size_t)width ? columns : (size_t)width;
    const size_t plane = (size_t)plane_size(height, width);
    memset(s, 0, sizeof *s);
    s->rows.lower = zeroed(rows, sizeof(int32_t));
    s->rows.upper_weight = zeroed(rows, sizeof(float));
    s->columns.lower = zeroed(columns, sizeof(int32_t));
    s->columns.upper_weight = zeroed(columns, sizeof(float));
    s->line[0] = zeroed((size_t)width + 10, sizeof(float));
    s->found[0] = zeroed(columns, sizeof(float));
    s->found[1] = zeroed(columns, sizeof(float));
    s->zeros = zeroed(longest, sizeof(float));
    s->turned = turning ? malloc(GROUP * plane * sizeof(float)) : NULL;
    return s->rows.lower && s->rows.upper_weight && s->columns.lower && s->columns.upper_weight &&
           s->line[0] && s->found[0] && s->found[1] && s->zeros && (s->turned || !turning);
}

typedef void (*Step)(const Slice *, const Film *, Scratch *);

/* Do a step for every slice; returns 0, or 1 when memory ran out. */
static int for_slices(Step step, int writes, float *stack, const ptrdiff_t shape[3],
                      const ptrdiff_t steps[3], const Film *film)
{
    const ptrdiff_t height = shape[1], width = shape[2];
    const int turning = steps[2] != 1;
    const ptrdiff_t plane = plane_size(height, width);
    Scratch s;
    if (!prepare(&s, film, height, width, turning)) {
        release(&s);
        return 1;
    }
    for (ptrdiff_t start = 0; start < shape[0]; start += GROUP) {
        const ptrdiff_t count = shape[0] - start < GROUP ? shape[0] - start : GROUP;
        float *first = stack + start * steps[0];
        for (ptrdiff_t h = 0; turning && h < height; h++)
            turn_row(first + h * steps[1], steps, s.turned + h * width, plane, count, width, 0);
        for (ptrdiff_t g = 0; g < count; g++) {
            const Slice slice = {turning ? s.turned + g * plane : first + g * steps[0],
                                 height, width, turning ? width : steps[1]};
            locate(&s.rows, film->row_positions + (start + g) * film->rows, film->rows,
                   film->first_row, height);
            locate(&s.columns, film->column_positions + (start + g) * film->columns,
                   film->columns, film->first_column, width);
            if (s.rows.first < s.rows.last && s.columns.first < s.columns.last)
                step(&slice, film, &s);
        }
        for (ptrdiff_t h = 0; turning && writes && h < height; h++)
            turn_row(first + h * steps[1], steps, s.turned + h * width, plane, count, width, 1);
    }
    release(&s);
    return 0;
}

EXPORT const char *tomoray_source(void) { return TOMORAY_SOURCE; }

/* image[r][c] += sum over slices of the slice at (row_positions[s][r], column_positions[s][c]);
   first: the row and column at which the stack's own begin. */
EXPORT int tomoray_sum_slices(const float *stack, const ptrdiff_t shape[3],
                              const ptrdiff_t steps[3], const double first[2],
                              const double *row_positions, ptrdiff_t rows,
                              const double *column_positions, ptrdiff_t columns, float *image,
                              ptrdiff_t image_step)
{
    const Film film = {row_positions, column_positions, first[0],  first[1],
                       rows,          columns,          image,     image_step};
    return for_slices(sum_slice, 0, (float *)stack, shape, steps, &film);
}

/* stack += the transpose of tomoray_sum_slices applied to image */
EXPORT int tomoray_spread_slices(float *stack, const ptrdiff_t shape[3], const ptrdiff_t steps[3],
                                 const double first[2], const double *row_positions,
                                 ptrdiff_t rows, const double *column_positions,
                                 ptrdiff_t columns, const float *image, ptrdiff_t image_step)
{
    const Film film = {row_positions, column_positions, first[0],       first[1],
                       rows,          columns,          (float *)image, image_step};
    return for_slices(spread_slice, 1, stack, shape, steps, &film);
}

/* Cubic convolution, a = -1/2 (Keys 1981): weights of the neighbours at -1, 0, 1, 2. */
static void cubic_weights(float f, float weights[4])
{
    weights[0] = ((-0.5f * f + 1.0f) * f - 0.5f) * f;
    weights[1] = (1.5f * f - 2.5f) * f * f + 1.0f;
    weights[2] = ((-1.5f * f + 2.0f) * f + 0.5f) * f;
    weights[3] = (0.5f * f - 0.5f) * f * f;
}

/* Where a pixel's 4 x 4 neighbours begin in an image of this width, and their weights. */
static ptrdiff_t neighbours(double row, double column, ptrdiff_t width, float rows[4],
                            float columns[4])
{
    const ptrdiff_t r = (ptrdiff_t)row, c = (ptrdiff_t)column;
    cubic_weights((float)(row - (double)r), rows);
    cubic_weights((float)(column - (double)c), columns);
    return (r - 1) * width + c - 1;
}

/* image[p] = virtual at (rows[p], columns[p]) where inside[p]; all neighbours must exist. */
MULTIVERSION
EXPORT void tomoray_warp(const float *virtual, ptrdiff_t width, const double *rows,
                         const double *columns, const uint8_t *inside, ptrdiff_t count,
                         float *image)
{
    for (ptrdiff_t p = 0; p < count; p++) {
        float down[4], along[4], sum = 0.0f;
        if (!inside[p]) continue;
        const float *from = virtual + neighbours(rows[p], columns[p], width, down, along);
        for (int r = 0; r < 4; r++, from += width)
            sum += down[r] * (along[0] * from[0] + along[1] * from[1] + along[2] * from[2] +
                              along[3] * from[3]);
        image[p] = sum;
    }
}

/* virtual += the transpose of tomoray_warp applied to image */
MULTIVERSION
EXPORT void tomoray_unwarp(float *virtual, ptrdiff_t width, const double *rows,
                           const double *columns, const uint8_t *inside, ptrdiff_t count,
                           const float *image)
{
    for (ptrdiff_t p = 0; p < count; p++) {
        float down[4], along[4];
        if (!inside[p]) continue;
        float *to = virtual + neighbours(rows[p], columns[p], width, down, along);
        for (int r = 0; r < 4; r++, to += width)
            for (int c = 0; c < 4; c++) to[c] += image[p] * down[r] * along[c];
    }
}

/* mu = slope * hu + intercept, 0 where that is negative or hu <= air_hu; mu is contiguous. */
#define DEFINE_MU(name, type)                                                                     \
    MULTIVERSION                                                                                  \
    static void name##_row(const type *restrict hu, ptrdiff_t count, float slope,                 \
                           float intercept, float air_hu, float *restrict mu)                     \
    {                                                                                             \
        for (ptrdiff_t i = 0; i < count; i++) {                                                   \
            const float value = (float)hu[i], line = slope * value + intercept;                   \
            const float above = line > 0.0f ? line : 0.0f;                                        \
            mu[i] = value > air_hu ? above : 0.0f;                                                \
        }                                                                                         \
    }                                                                                             \
                                                                                                  \
    EXPORT void name(const type *hu, const ptrdiff_t shape[3], const ptrdiff_t steps[3],          \
                     float slope, float intercept, float air_hu, float *mu)                       \
    {                                                                                             \
        for (ptrdiff_t k = 0; k < shape[0]; k++)                                                  \
            for (ptrdiff_t j = 0; j < shape[1]; j++, mu += shape[2])                              \
                name##_row(hu + k * steps[0] + j * steps[1], shape[2], slope, intercept, air_hu,  \
                           mu);                                                                   \
    }

DEFINE_MU(tomoray_mu_int16, int16_t)
DEFINE_MU(tomoray_mu_float32, float)

/* Which slices and rows hold anything above a threshold, and the highest value of each column;
   slices and highest are filled by the caller with 0 and with the threshold. */
#define DEFINE_ABOVE(name, type)                                                                  \
    MULTIVERSION                                                                                  \
    static int name##_row(const type *restrict row, ptrdiff_t count, type threshold,              \
                          type *restrict highest)                                                 \
    {                                                                                             \
        int any = 0;                                                                              \
        for (ptrdiff_t i = 0; i < count; i++) {                                                   \
            highest[i] = row[i] > highest[i] ? row[i] : highest[i];                               \
            any |= row[i] > threshold;                                                            \
        }                                                                                         \
        return any;                                                                               \
    }                                                                                             \
                                                                                                  \
    EXPORT void name(const type *array, const ptrdiff_t shape[3], const ptrdiff_t steps[3],       \
                     type threshold, uint8_t *slices, uint8_t *rows, type *highest)               \
    {                                                                                             \
        for (ptrdiff_t k = 0; k < shape[0]; k++)                                                  \
            for (ptrdiff_t j = 0; j < shape[1]; j++)                                              \
                if (name##_row(array + k * steps[0] + j * steps[1], shape[2], threshold,          \
                               highest))                                                          \
                    slices[k] = rows[j] = 1;                                                      \
    }

DEFINE_ABOVE(tomoray_above_int16, int16_t)
DEFINE_ABOVE(tomoray_above_float32, float)
DEFINE_ABOVE(tomoray_above_uint32, uint32_t)
