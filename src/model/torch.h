/* torch.h - the tensors of a PyTorch checkpoint (pytorch_model.bin: a zip with a pickle), for this folder only.
 *
 * The pickle is read, never run: its opcodes build dicts, tuples, texts, numbers and
 * descriptions of tensors, and a call of anything else is refused by name.  Data stays in
 * the map; only stored (uncompressed) zip entries exist in such files. */
#ifndef KR_MODEL_TORCH_H
#define KR_MODEL_TORCH_H
#include "base/mem.h"
#include "model/safetensors.h"

/* The sorted table of tensors of a whole file in memory; `name` calls it in messages.  KR_ERR_FORMAT. */
kr_status kr_torch_read(kr_arena *arena, const void *file, size_t n_bytes, const char *name, kr_st_tensor **tensor, size_t *n_tensors);
#endif
