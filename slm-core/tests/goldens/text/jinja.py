"""What make_templates.py and make_snippets.py share: templates rendered by transformers itself, at a fixed time."""
import datetime
import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers.utils import chat_template_utils as hf  # noqa: E402

NOW = "2024-07-26T13:45:09"
RESERVED = ["messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "name"]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(NOW)


hf.datetime = Clock


def render(source, context):
    """The text, and the character spans of `{% generation %}` blocks; None where rendering fails."""
    variables = {k: v for k, v in context.items() if k not in RESERVED}
    spans = "endgeneration" in source and not context.get("continue_final_message")
    messages = hf._normalize_chat_messages(json.loads(json.dumps(context.get("messages", []))))
    texts, indices = hf.render_jinja_template(
        [messages], tools=context.get("tools"), documents=context.get("documents"), chat_template=source,
        return_assistant_tokens_mask=spans, continue_final_message=context.get("continue_final_message", False),
        add_generation_prompt=context.get("add_generation_prompt", False), **variables)
    return texts[0], (indices[0] if spans else [])


def attempt(source, context):
    try:
        return render(source, context)
    except Exception as failure:  # Any failure is a golden too: it must fail here and there.
        return None, f"{type(failure).__name__}: {failure}"
