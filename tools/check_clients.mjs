// The official npm client against a running slm-serve.
//
//   npm install openai
//   node tools/check_clients.mjs http://127.0.0.1:8080/v1 MODEL
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";
import { join } from "node:path";

// Modules are looked for where the script is started, so that nothing has to be installed beside it.
const { default: OpenAI, NotFoundError } = createRequire(join(process.cwd(), "x"))("openai");
const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const body = { model, messages: [{ role: "user", content: "Say something short." }], max_tokens: 24, temperature: 0 };

const whole = await client.chat.completions.create(body);
const text = whole.choices[0].message.content;
assert.ok(text && whole.slm.route);
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) streamed += chunk.choices[0]?.delta?.content ?? "";
assert.equal(streamed, text);
await assert.rejects(client.chat.completions.create({ ...body, model: "nobody" }), NotFoundError);
const stopped = await client.chat.completions.create({ ...body, stream: true });
for await (const _ of stopped) break;
assert.ok((await client.models.list()).data.some(m => m.id === model));
console.log("openai for node agrees with the server");
