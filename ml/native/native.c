// The layers of a U-Net on float32 images. The channels of a pixel lie side by side: x[row][col][channel].
//
// A 3x3 convolution is computed by Winograd's algorithm F(4, 3) (Lavin, Gray 2016, arXiv:1509.09308). It computes a
// tile of 4x4 pixels from a patch of 6x6 pixels with 36 products for each pair of an input and an output channel,
// instead of 144. Only a few tiles are computed at a time, so that the data between the steps stays in the cache of a
// core. The code uses the vector extensions of GCC, so it works on any CPU for which there is GCC or Clang.

#include <string.h>

// LANES: number of float32 values in a vector. Layers with few outputs need fewer lanes than the CPU has.
#if !defined(LANES)
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#endif
#if defined(__AVX512F__)
enum { ROWS = 14 };  // 28 sums, 2 weights and a factor take 31 of the 32 registers
#else
enum { ROWS = 6 };  // 12 sums, 2 weights and a factor take 15 of the 16 registers
#endif
enum { AHEAD = 16 };  // rows of weights to prefetch ahead: the weights of deep levels come from slow memory
enum { TILE = 4, PATCH = 6, POINTS = PATCH * PATCH };

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int mask __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec value) { *(vec *)to = value; }
INLINE vec positive(vec value) { return (vec)((mask)value & ~(value < 0)); }  // keeps NaN
INLINE long smaller(long a, long b) { return a < b ? a : b; }

int lanes(void) { return LANES; }

// Number of outputs whose weights lie side by side: that of two vectors if it divides `outputs`, else of one vector.
static long block(long outputs) { return outputs % (2 * LANES) ? LANES : 2 * LANES; }

// For one block of outputs, c[row][output] = sum over tap and k of a[row + tap][k] * b[tap][k][output].
// a_row, a_tap, c_row: strides in floats, from row to row and from tap to tap.
// depth: number of values of k. taps: number of taps. relu: whether negative results become 0.
// bias: is added to the results of the block; NULL adds nothing.
struct product {
    const float *a, *b, *bias;
    float *c;
    long a_row, a_tap, c_row, depth, taps, relu;
};

INLINE void some_rows(const struct product *p, const int rows, const int vectors) {
    vec sum[ROWS][2];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
        sum[i][j] = p->bias ? load(p->bias + j * LANES) : (vec){0};
    const float *b = p->b;
    for (long tap = 0; tap < p->taps; tap++) {
        const float *a = p->a + tap * p->a_tap;
        for (long k = 0; k < p->depth; k++, b += vectors * LANES) {
            vec weights[2];
            UNROLL for (int j = 0; j < vectors; j++) {
                weights[j] = load(b + j * LANES);
                __builtin_prefetch(b + AHEAD * vectors * LANES + j * LANES);
            }
            UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
                sum[i][j] += a[i * p->a_row + k] * weights[j];
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
        store(p->c + i * p->c_row + j * LANES, p->relu ? positive(sum[i][j]) : sum[i][j]);
}

// The number of rows is a compile-time constant in each case, so that the sums stay in registers.
#define ROWS_CASE(n) case n: some_rows(&p, n <= ROWS ? n : 1, vectors); break;
INLINE void all_rows(struct product p, long rows, const int vectors) {
    while (rows > 0) {
        long pieces = (rows + ROWS - 1) / ROWS, now = (rows + pieces - 1) / pieces;
        switch (now) {
            ROWS_CASE(1) ROWS_CASE(2) ROWS_CASE(3) ROWS_CASE(4) ROWS_CASE(5) ROWS_CASE(6) ROWS_CASE(7)
            ROWS_CASE(8) ROWS_CASE(9) ROWS_CASE(10) ROWS_CASE(11) ROWS_CASE(12) ROWS_CASE(13) ROWS_CASE(14)
        }
        p.a += now * p.a_row, p.c += now * p.c_row, rows -= now;
    }
}
static void multiply_two(struct product p, long rows) { all_rows(p, rows, 2); }
static void multiply_one(struct product p, long rows) { all_rows(p, rows, 1); }

// The matrix product for all `outputs`, block by block. b: [outputs / block][taps][depth][block].
static void multiply(struct product p, long rows, long outputs) {
    long step = block(outputs);
    for (long done = 0; done < outputs; done += step) {
        step == LANES ? multiply_one(p, rows) : multiply_two(p, rows);
        p.b += step * p.taps * p.depth, p.c += step, p.bias = p.bias ? p.bias + step : NULL;
    }
}

// The transforms in one dimension, for the points 0, +-NEAR, +-FAR and infinity. The squares of NEAR and FAR are 1/2
// and 2. These points cause smaller rounding errors than the usual points 0, +-1, +-2 and infinity.
#define NEAR 0.70710678118654752f
#define FAR 1.41421356237309505f

INLINE void to_points(vec y[PATCH], const vec x[PATCH]) {
    vec near_even = x[4] - 2.0f * x[2], near_odd = NEAR * (x[3] - 2.0f * x[1]);
    vec far_even = x[4] - 0.5f * x[2], far_odd = FAR * (x[3] - 0.5f * x[1]);
    y[0] = x[0] + x[4] - 2.5f * x[2];
    y[1] = near_even + near_odd;
    y[2] = near_even - near_odd;
    y[3] = far_even + far_odd;
    y[4] = far_even - far_odd;
    y[5] = x[1] + x[5] - 2.5f * x[3];
}

INLINE void from_points(vec y[TILE], const vec x[PATCH]) {
    vec near_sum = x[1] + x[2], near_gap = NEAR * (x[1] - x[2]);
    vec far_sum = x[3] + x[4], far_gap = FAR * (x[3] - x[4]);
    y[0] = x[0] + near_sum + far_sum;
    y[1] = near_gap + far_gap;
    y[2] = 0.5f * near_sum + 2.0f * far_sum;
    y[3] = 0.5f * near_gap + 2.0f * far_gap + x[5];
}

// Transforms a patch of 6x6 pixels to v[point][channel].
// rows: addresses of the rows of the patch. point: stride of v from point to point, in floats.
static void transform_patch(const float *const rows[PATCH], long channels, float *v, long point) {
    for (long c = 0; c < channels; c += LANES) {
        vec half[PATCH][PATCH], in[PATCH], out[PATCH];
        UNROLL for (int j = 0; j < PATCH; j++) {
            UNROLL for (int i = 0; i < PATCH; i++) in[i] = load(rows[i] + j * channels + c);
            to_points(out, in);
            UNROLL for (int i = 0; i < PATCH; i++) half[i][j] = out[i];
        }
        UNROLL for (int i = 0; i < PATCH; i++) {
            to_points(out, half[i]);
            UNROLL for (int j = 0; j < PATCH; j++) store(v + (i * PATCH + j) * point + c, out[j]);
        }
    }
}

// Transforms a patch that may reach beyond the image, where it has zeros.
// rows: addresses of the first pixels of the image's rows, from the first row of the patch on; NULL is a row of zeros.
// there: number of addresses, at most 6. col: first column of the patch, -1 or more. cols: columns of the image.
// edge: scratch memory for POINTS * channels floats.
static void transform_clipped_patch(const float *const *rows, long there, long col, long cols, long channels, float *v,
                                    long point, float *edge) {
    const float *at[PATCH];
    int whole = there == PATCH && col >= 0 && col + PATCH <= cols;
    for (int i = 0; whole && i < PATCH; i++) {
        whole = rows[i] != NULL;
        at[i] = rows[i] + col * channels;
    }
    if (!whole) {
        long first = col < 0 ? 0 : col, wide = smaller(col + PATCH, cols) - first;
        memset(edge, 0, sizeof(float) * POINTS * channels);
        for (long i = 0; i < PATCH; i++) {
            float *row = edge + i * PATCH * channels;
            if (i < there && rows[i]) memcpy(row + (first - col) * channels, rows[i] + first * channels, sizeof(float) * wide * channels);
            at[i] = row;
        }
    }
    transform_patch(at, channels, v, point);
}

// Transforms m[point][channel] to a tile of 4x4 pixels, with bias and ReLU.
// point: stride of m from point to point. row, col: strides of y from row to row and from column to column, in floats.
static void store_tile(const float *m, long point, const float *bias, long channels, float *y, long row, long col) {
    for (long c = 0; c < channels; c += LANES) {
        vec half[TILE][PATCH], in[PATCH], out[TILE], add = load(bias + c);
        UNROLL for (int j = 0; j < PATCH; j++) {
            UNROLL for (int i = 0; i < PATCH; i++) in[i] = load(m + (i * PATCH + j) * point + c);
            from_points(out, in);
            UNROLL for (int i = 0; i < TILE; i++) half[i][j] = out[i];
        }
        UNROLL for (int i = 0; i < TILE; i++) {
            from_points(out, half[i]);
            UNROLL for (int j = 0; j < TILE; j++) store(y + i * row + j * col + c, positive(out[j] + add));
        }
    }
}

// Transforms to a tile that may reach beyond the image, of which it stores the pixels in the image.
// high, wide: rows and columns from the tile's first pixel to the end of the image.
// edge: scratch memory for TILE * TILE * channels floats.
static void store_clipped_tile(const float *m, long point, const float *bias, long channels, float *y, long row,
                               long col, long high, long wide, float *edge) {
    if (high >= TILE && wide >= TILE) {
        store_tile(m, point, bias, channels, y, row, col);
        return;
    }
    store_tile(m, point, bias, channels, edge, TILE * channels, channels);
    for (long i = 0; i < smaller(TILE, high); i++)
        for (long j = 0; j < smaller(TILE, wide); j++)
            memcpy(y + i * row + j * col, edge + (i * TILE + j) * channels, sizeof(float) * channels);
}

// A 3x3 convolution with bias and ReLU, and with a column of zeros on the left and on the right. It computes the tiles
// of y from `first` up to, but not including, `end`.
// x: addresses of rows, [branches][rows + 2]; NULL is a row of zeros. The input is the concatenation of the branches
//    along the channels; each branch has `inputs` channels.
// u: transformed weights, [POINTS][outputs / block][branches * inputs][block].
// y: (rows, cols, outputs).
// tiles: number of tiles that are computed at a time. chunk: number of outputs that are computed at a time.
// scratch: POINTS * ((tiles + 1) * (branches * inputs + chunk) + 2 * LANES) floats.
// `inputs` and `outputs` must be multiples of LANES, `outputs` of `chunk`, and `chunk` of its block.
void winograd(const float *const *x, const float *u, const float *bias, float *y, long branches, long inputs,
              long outputs, long rows, long cols, long first, long end, long tiles, long chunk, float *scratch) {
    long across = (cols + TILE - 1) / TILE, depth = branches * inputs, y_row = cols * outputs;
    // The strides have one vector more than needed: with a power of two, all points would share a few cache lines.
    long v_point = tiles * depth + LANES, m_point = tiles * chunk + LANES;
    float *v = scratch, *m = v + POINTS * v_point, *edge = m + POINTS * m_point;
    for (; first < end; first += tiles) {
        long now = smaller(tiles, end - first);
        for (long t = 0; t < now; t++) {
            long row = (first + t) / across * TILE, col = (first + t) % across * TILE;
            for (long p = 0; p < branches; p++)
                transform_clipped_patch(x + p * (rows + 2) + row, smaller(PATCH, rows + 2 - row), col - 1, cols, inputs,
                                        v + t * depth + p * inputs, v_point, edge);
        }
        for (long done = 0; done < outputs; done += chunk) {
            for (long point = 0; point < POINTS; point++) {
                struct product p = {.a = v + point * v_point, .a_row = depth, .depth = depth, .taps = 1,
                                    .b = u + (point * outputs + done) * depth,
                                    .c = m + point * m_point, .c_row = chunk};
                multiply(p, now, chunk);
            }
            for (long t = 0; t < now; t++) {
                long row = (first + t) / across * TILE, col = (first + t) % across * TILE;
                store_clipped_tile(m + t * chunk, m_point, bias + done, chunk, y + row * y_row + col * outputs + done,
                                   y_row, outputs, rows - row, cols - col, edge);
            }
        }
    }
}

// A 3x3 convolution with bias and ReLU as a plain sum, for any number of inputs. It computes the rows of y from `first`
// up to, but not including, `end`.
// x: (rows + 2, cols + 2, inputs), padding included. w: [outputs / block][3][3 * inputs][block].
// y: (rows, cols, outputs).
void direct(const float *x, const float *w, const float *bias, float *y, long inputs, long outputs, long cols,
            long first, long end) {
    long x_row = (cols + 2) * inputs;
    for (long row = first; row < end; row++) {
        struct product p = {.a = x + row * x_row, .a_row = inputs, .a_tap = x_row, .depth = 3 * inputs, .taps = 3,
                            .b = w, .bias = bias, .relu = 1, .c = y + row * cols * outputs, .c_row = outputs};
        multiply(p, cols, outputs);
    }
}

// A 2x2 transposed convolution with bias, for the rows of x from `first` up to, but not including, `end`.
// x: (rows, cols, inputs). y: (2 * rows, 2 * cols, outputs).
// w: [2][2 * outputs / block][inputs][block], for the upper and the lower row of output. bias: the bias twice, for two
// neighbouring pixels.
void enlarge(const float *x, const float *w, const float *bias, float *y, long inputs, long outputs, long cols,
             long first, long end) {
    for (long row = 2 * first; row < 2 * end; row++) {
        struct product p = {.a = x + row / 2 * cols * inputs, .a_row = inputs, .depth = inputs, .taps = 1,
                            .b = w + row % 2 * 2 * outputs * inputs, .bias = bias,
                            .c = y + row * 2 * cols * outputs, .c_row = 2 * outputs};
        multiply(p, cols, 2 * outputs);
    }
}
