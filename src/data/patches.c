/* patches.c - see patches.h.  Squares of distances are compared, so there is nothing but sums of three products. */
#include "data/patches.h"

static float square(const float *a, const float *b) {
    float x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

void kr_points_far(int64_t n, const float *xyz, int64_t n_centres, int32_t *centre, float *room) {
    static const float origin[3] = {0, 0, 0};
    for (int64_t c = 0; c < n_centres; c++) {
        int64_t far = 0;
        for (int64_t i = 0; i < n; i++) {
            float d = square(xyz + 3 * i, c ? xyz + 3 * centre[c - 1] : origin);
            if (c < 2 || d < room[i]) room[i] = d; /* the origin is no centre, so c = 1 starts afresh */
            if (room[i] > room[far]) far = i;
        }
        centre[c] = (int32_t)far;
    }
}

void kr_points_near(int64_t n, const float *xyz, int64_t at, int64_t k, int32_t *near, float *room) {
    int64_t have = 0;
    for (int64_t i = 0; i < n; i++) {
        float d = square(xyz + 3 * i, xyz + 3 * at);
        if (have == k && !(d < room[k - 1])) continue;
        int64_t to = have < k ? have++ : k - 1;
        for (; to > 0 && d < room[to - 1]; to--) room[to] = room[to - 1], near[to] = near[to - 1];
        room[to] = d, near[to] = (int32_t)i;
    }
}
