"""LLaVA-1.6, also LLaVA-NeXT: tiles of the picture and the whole of it; their number follows the picture's shape.

Which conversation a checkpoint without a chat template was trained on is told by its language model only for Mistral's:
those of LLaMA's class are Vicuna, Yi and Llama-3.
"""

from eval.families.family import Family

MISTRAL_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ '[INST] ' }}"
    "{%- for part in message['content'] if part['type'] == 'image' -%}{{ '<image>\\n' }}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}{{ part['text'] }}{%- endfor -%}"
    "{{ ' [/INST]' }}"
    "{%- else -%}{{ ' ' ~ message['content'][0]['text'] ~ eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)
"""``[INST] <image>\\n{text} [/INST]``"""

FAMILY = Family(templates={"mistral": MISTRAL_TEMPLATE})
