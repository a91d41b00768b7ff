#!/usr/bin/env python3
"""nemotron-golden.py OUT - a random NemotronH with experts in a narrower stream, and what transformers computes from it:
tests/data/nemotron_experts. Needs torch, transformers (5.23 made the file that is there) and safetensors.

Steps dt are held in config.time_step_limit, (0, inf), as mamba_ssm's kernels hold them and the published models were
trained; the class of transformers 5.23 raises them to time_step_min instead, except while decoding
(huggingface/transformers#48989). With --as-transformers they stay as that class has them, to see the difference."""
import sys

import torch
from safetensors.torch import save_file
from transformers import NemotronHConfig, NemotronHForCausalLM

V = 96
as_transformers = "--as-transformers" in sys.argv
out = [a for a in sys.argv[1:] if not a.startswith("-")][0]
torch.manual_seed(5)
config = NemotronHConfig(
    vocab_size=V, hidden_size=32, layers_block_type=["linear_attention", "moe", "full_attention", "moe", "linear_attention"],
    num_attention_heads=4, num_key_value_heads=2, head_dim=8, mamba_num_heads=8, mamba_head_dim=8, ssm_state_size=16, n_groups=2,
    conv_kernel=4, chunk_size=16, intermediate_size=64, moe_intermediate_size=24, moe_shared_expert_intermediate_size=40,
    n_routed_experts=6, num_experts_per_tok=2, n_shared_experts=1, routed_scaling_factor=2.5, norm_topk_prob=True, n_group=1,
    topk_group=1, moe_latent_size=16, tie_word_embeddings=False, num_nextn_predict_layers=0, bos_token_id=1, eos_token_id=2, pad_token_id=0)
config._experts_implementation = "eager"
model = NemotronHForCausalLM(config).eval()
noisy = ("experts", "gate", "latent", "norm", "lm_head", "embed", "o_proj", "in_proj", "conv1d")  # so that nothing hides behind its first value
with torch.no_grad():
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if p.dtype.is_floating_point and any(part in name for part in noisy):
            p.add_(torch.randn_like(p) * (0.15 if p.dim() > 1 else 0.1))
for module in model.modules():
    if hasattr(module, "time_step_limit") and not as_transformers:
        module.time_step_limit = tuple(config.time_step_limit)
model.save_pretrained(out)

torch.manual_seed(7)
with torch.no_grad():
    ids = torch.randint(3, V, (2, 53))
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))
    text = prompt = torch.randint(3, V, (1, 20))
    for _ in range(24):
        text = torch.cat([text, model(text, use_cache=False).logits[:, -1:].argmax(-1)], 1)
save_file({"input_ids": ids.int(), "logits": logits.float().contiguous(), "loss": loss.view(1).float(), "greedy_prompt": prompt.int(),
           "greedy_continuation": text[0, 20:].int().contiguous()}, out + "/expected.safetensors")
