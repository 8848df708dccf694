// The layers of a U-Net on float32 images, the channels of a pixel side by side: x[row][col][channel].
//
// A 3x3 convolution is computed by Winograd's algorithm F(4, 3) (Lavin, Gray 2016, arXiv:1509.09308): of a tile of 6x6
// pixels it makes 4x4 with 36 products a pair of channels instead of 144. Tiles are taken by the few: what belongs to
// them between the steps stays in a core's own cache. The vectors are GCC's, so any CPU with a GCC or Clang will do.

#include <string.h>

// LANES: how many numbers a vector holds; fewer than the CPU can where a layer has fewer outputs.
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
enum { ROWS = 14 };  // 28 sums, 2 weights and a factor: of the 32 registers one is left
#else
enum { ROWS = 6 };  // of 16 registers
#endif
enum { AHEAD = 16 };  // rows of weights that are asked for early: those of deep levels come from far away
enum { TILE = 4, PATCH = 6, POINTS = PATCH * PATCH };

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int mask __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec value) { *(vec *)to = value; }
INLINE vec positive(vec value) { return (vec)((mask)value & ~(value < 0)); }  // NaN stays
INLINE long smaller(long a, long b) { return a < b ? a : b; }

int lanes(void) { return LANES; }

// How many weights stand side by side: of two vectors' outputs where so many are left over by none.
static long block(long outputs) { return outputs % (2 * LANES) ? LANES : 2 * LANES; }

// c[row][output] = the sum of a[row + tap][k] * b[tap][k][output] over taps and k, for one block of outputs.
// Strides are in floats. bias: of the block, NULL adds nothing.
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

// Each number of rows is a function of its own, whose sums stay in registers.
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

// For `outputs`, block by block. b: [outputs / block][taps][depth][block].
static void multiply(struct product p, long rows, long outputs) {
    long step = block(outputs);
    for (long done = 0; done < outputs; done += step) {
        step == LANES ? multiply_one(p, rows) : multiply_two(p, rows);
        p.b += step * p.taps * p.depth, p.c += step, p.bias = p.bias ? p.bias + step : NULL;
    }
}

// One dimension of the transforms, by the points 0, +-NEAR, +-FAR and infinity: their squares are 1/2 and 2, and they
// round less than the usual 0, +-1, +-2.
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

// A patch of 6x6 pixels, its rows wherever they lie, into v[point][channel]. Strides are in floats.
static void take_patch(const float *const rows[PATCH], long channels, float *v, long point) {
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

// The same for the patch that begins at `col` of up to 6 `rows`, with zeros beyond the image. edge: room for it.
static void take_any_patch(const float *const *rows, long there, long col, long cols, long channels, float *v, long point,
                           float *edge) {
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
    take_patch(at, channels, v, point);
}

// m[point][channel] into a tile of 4x4 pixels, with bias and ReLU.
static void give_tile(const float *m, long point, const float *bias, long channels, float *y, long row, long col) {
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

// The same for a tile of which maybe not all lies in the image. edge: room for it.
static void give_any_tile(const float *m, long point, const float *bias, long channels, float *y, long row, long col,
                          long high, long wide, float *edge) {
    if (high >= TILE && wide >= TILE) {
        give_tile(m, point, bias, channels, y, row, col);
        return;
    }
    give_tile(m, point, bias, channels, edge, TILE * channels, channels);
    for (long i = 0; i < smaller(TILE, high); i++)
        for (long j = 0; j < smaller(TILE, wide); j++)
            memcpy(y + i * row + j * col, edge + (i * TILE + j) * channels, sizeof(float) * channels);
}

// A 3x3 convolution with ReLU, zeros on the left and right, into the tiles from `first` to before `end` of y, (rows,
// cols, outputs). x: [parts][rows + 2], the rows of so many images of `inputs` channels that stand one after the other;
// NULL is a row of zeros. inputs and outputs are multiples of LANES, outputs of `chunk`, `chunk` of its block.
// u: the transformed weights, [POINTS][outputs / block][parts * inputs][block].
// scratch: for `tiles` at a time, POINTS * ((tiles + 1) * (parts * inputs + chunk) + 2 * LANES) floats.
void winograd(const float *const *x, const float *u, const float *bias, float *y, long parts, long inputs, long outputs,
              long rows, long cols, long first, long end, long tiles, long chunk, float *scratch) {
    long across = (cols + TILE - 1) / TILE, depth = parts * inputs, y_row = cols * outputs;
    // one vector more than needed: with strides of a power of two all points would share a few lines of the cache
    long v_point = tiles * depth + LANES, m_point = tiles * chunk + LANES;
    float *v = scratch, *m = v + POINTS * v_point, *edge = m + POINTS * m_point;
    for (; first < end; first += tiles) {
        long now = smaller(tiles, end - first);
        for (long t = 0; t < now; t++) {
            long row = (first + t) / across * TILE, col = (first + t) % across * TILE;
            for (long p = 0; p < parts; p++)
                take_any_patch(x + p * (rows + 2) + row, smaller(PATCH, rows + 2 - row), col - 1, cols, inputs,
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
                give_any_tile(m + t * chunk, m_point, bias + done, chunk, y + row * y_row + col * outputs + done, y_row,
                              outputs, rows - row, cols - col, edge);
            }
        }
    }
}

// The same of one image as a plain sum, for any number of inputs. x: (rows + 2, cols + 2, inputs), zeros included.
// w: [outputs / block][3][3 * inputs][block]. Rows from `first` to before `end`.
void direct(const float *x, const float *w, const float *bias, float *y, long inputs, long outputs, long cols, long first,
            long end) {
    long x_row = (cols + 2) * inputs;
    for (long row = first; row < end; row++) {
        struct product p = {.a = x + row * x_row, .a_row = inputs, .a_tap = x_row, .depth = 3 * inputs, .taps = 3,
                            .b = w, .bias = bias, .relu = 1, .c = y + row * cols * outputs, .c_row = outputs};
        multiply(p, cols, outputs);
    }
}

// An up-convolution 2x2 of x, (rows, cols, inputs), into y, (2 * rows, 2 * cols, outputs), from row `first` of x on.
// w: for each of two rows [2 * outputs / block][inputs][block]. bias: twice, for two pixels side by side.
void enlarge(const float *x, const float *w, const float *bias, float *y, long inputs, long outputs, long cols, long first,
             long end) {
    for (long row = 2 * first; row < 2 * end; row++) {
        struct product p = {.a = x + row / 2 * cols * inputs, .a_row = inputs, .depth = inputs, .taps = 1,
                            .b = w + row % 2 * 2 * outputs * inputs, .bias = bias,
                            .c = y + row * 2 * cols * outputs, .c_row = 2 * outputs};
        multiply(p, cols, 2 * outputs);
    }
}
