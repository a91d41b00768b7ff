/* tree_scan.h - the slots of tree_scan, in the order of its signature. */
#ifndef KR_OPS_TREE_SCAN_H
#define KR_OPS_TREE_SCAN_H
#include "ops/op.h"

enum { TREE_SCAN_U, TREE_SCAN_DT, TREE_SCAN_A, TREE_SCAN_B, TREE_SCAN_C, TREE_SCAN_D, TREE_SCAN_PARENT };
enum { TREE_SCAN_Y };
enum { TREE_SCAN_BLOCK = 64 }; /* channels that a CPU's thread takes through the tree at once */
#endif
