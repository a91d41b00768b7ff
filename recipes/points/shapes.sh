#!/bin/sh
# shapes.sh FOLDER N - N clouds of 512 points of each of eight surfaces, as FOLDER/sphere/1.xyz and so on: stretched by up
# to a third along its axes, turned any way, each point moved by a deviation of 0.03.  Draws follow a generator of its
# own, so any awk makes the same points (to the last digit that is written).
set -eu
[ $# -eq 2 ] || { echo "usage: shapes.sh FOLDER N" >&2; exit 2; }
for s in sphere cube cylinder cone torus tetrahedron helix saddle; do mkdir -p "$1/$s"; done
LC_ALL=C awk -v FOLDER="$1" -v N="$2" '
function draw() { state = state * 16807 % 2147483647; return state / 2147483647 }
function normal(u) { u = draw(); return sqrt(-2 * log(u)) * cos(2 * PI * draw()) }
function put(a, b, c) { x = a; y = b; z = c }
# a point of the surface into x, y, z
function point(shape, a, b, c, d) {
    a = 2 * PI * draw(); b = 2 * draw() - 1; c = 2 * draw() - 1
    if (shape == "sphere") put(sqrt(1 - b * b) * cos(a), sqrt(1 - b * b) * sin(a), b)
    if (shape == "cube") { d = int(6 * draw()); put(b, c, d % 2 ? 1 : -1); if (d > 3) put(z, x, y); else if (d > 1) put(y, z, x) }
    if (shape == "cylinder") if (draw() < 2 / 3) put(cos(a), sin(a), b); else { d = sqrt(draw()); put(d * cos(a), d * sin(a), b < 0 ? -1 : 1) }
    if (shape == "cone") { d = sqrt(draw()); put(d * cos(a), d * sin(a), draw() < 0.69 ? 1 - 2 * d : -1) }
    if (shape == "torus") { do d = 2 * PI * draw(); while (draw() > (1 + 0.4 * cos(d)) / 1.4); put((1 + 0.4 * cos(d)) * cos(a), (1 + 0.4 * cos(d)) * sin(a), 0.4 * sin(d)) }
    if (shape == "tetrahedron") {
        do { b = draw(); c = draw() } while (b + c > 1)
        d = int(4 * draw()); a = 1 - b - c # the corner that is left out has both signs turned
        put(a + b - c, a - b + c, -a + b + c)
        if (d == 1) put(-x, -y, z); if (d == 2) put(-x, y, -z); if (d == 3) put(x, -y, -z)
    }
    if (shape == "helix") put(cos(2 * a) + 0.1 * b, sin(2 * a) + 0.1 * c, a / PI - 1)
    if (shape == "saddle") put(b, c, b * b - c * c)
}
# a turn drawn evenly: a unit quaternion
function turn(w, i, j, k, n) {
    w = normal(); i = normal(); j = normal(); k = normal(); n = sqrt(w * w + i * i + j * j + k * k)
    w /= n; i /= n; j /= n; k /= n
    R[1] = 1 - 2 * (j * j + k * k); R[2] = 2 * (i * j - k * w); R[3] = 2 * (i * k + j * w)
    R[4] = 2 * (i * j + k * w); R[5] = 1 - 2 * (i * i + k * k); R[6] = 2 * (j * k - i * w)
    R[7] = 2 * (i * k - j * w); R[8] = 2 * (j * k + i * w); R[9] = 1 - 2 * (i * i + j * j)
}
BEGIN {
    PI = atan2(0, -1); state = 20260; points = 512
    n_shapes = split("sphere cube cylinder cone torus tetrahedron helix saddle", shapes, " ")
    for (s = 1; s <= n_shapes; s++)
        for (m = 1; m <= N; m++) {
            file = FOLDER "/" shapes[s] "/" m ".xyz"
            for (k = 1; k <= 3; k++) side[k] = 2 / 3 + 2 / 3 * draw()
            turn()
            for (p = 0; p < points; p++) {
                point(shapes[s])
                x *= side[1]; y *= side[2]; z *= side[3]
                for (k = 0; k < 3; k++) v[k] = R[3 * k + 1] * x + R[3 * k + 2] * y + R[3 * k + 3] * z + 0.03 * normal()
                printf "%.4f %.4f %.4f\n", v[0], v[1], v[2] > file
            }
            close(file)
        }
}'
