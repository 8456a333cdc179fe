"""The official Python client and LangChain's against a running slm-serve.

    pip install openai langchain-openai
    python tools/check_clients.py http://127.0.0.1:8080/v1 MODEL [EMBEDDER]
"""

import json
import sys

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

url, model, *embedder = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
question = [{"role": "user", "content": "Say something short."}]

whole = client.chat.completions.create(model=model, messages=question, max_tokens=24, temperature=0, logprobs=True, top_logprobs=2)
text = whole.choices[0].message.content
assert text and whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
assert whole.slm["route"], "what lies beyond the protocol is kept by the client"

streamed = client.chat.completions.create(model=model, messages=question, max_tokens=24, temperature=0, stream=True,
                                          stream_options={"include_usage": True})
chunks = list(streamed)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
answer = client.chat.completions.create(model=model, messages=question, max_tokens=40, temperature=0,
                                        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
assert isinstance(json.loads(answer.choices[0].message.content)["ok"], bool)

completion = client.completions.create(model=model, prompt="Once", max_tokens=4, logprobs=1)
assert completion.choices[0].logprobs.tokens
assert model in [m.id for m in client.models.list()]
try:
    client.chat.completions.create(model="nobody", messages=question)
    raise SystemExit("an unknown model answered")
except openai.NotFoundError as error:
    assert error.code == "model_not_found"
try:
    client.chat.completions.create(model=model, messages=question, temperature=-1)
    raise SystemExit("a negative temperature was taken")
except openai.BadRequestError as error:
    assert "temperature" in error.message

chain = ChatOpenAI(base_url=url, api_key="none", model=model, temperature=0, max_tokens=24)
assert chain.invoke("Say something short.").content == text
assert "".join(piece.content for piece in chain.stream("Say something short.")) == text
if embedder:
    vectors = client.embeddings.create(model=embedder[0], input=["a", "b"]).data
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0].embedding) - 1) < 1e-3
    chained = OpenAIEmbeddings(base_url=url, api_key="none", model=embedder[0], check_embedding_ctx_length=False)
    assert max(abs(a - b) for a, b in zip(chained.embed_query("a"), vectors[0].embedding)) < 1e-5
print(f"openai {openai.__version__} and langchain agree with the server")
