// The server's page in a real browser: chat, sources, a judgement, the monitoring view, an error.
//
//   npm install playwright-core && apt-get install chromium
//   slm-serve run --config CONFIG &
//   node tools/check_page.mjs http://127.0.0.1:8080 MODEL QUESTION [FOLDER FOR SCREENSHOTS]
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { join } from "node:path";

// Modules are looked for where the script is started, so that nothing has to be installed beside it.
const { chromium } = createRequire(join(process.cwd(), "x"))("playwright-core");
const [url, model, question, folder] = process.argv.slice(2);
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
const page = await browser.newPage({ viewport: { width: 1100, height: 800 } });
const complaints = [];
page.on("console", message => message.type() === "error" && complaints.push(message.text()));
page.on("pageerror", error => complaints.push(String(error)));
page.on("request", request => assert.ok(request.url().startsWith(url), "the page calls " + request.url()));
const shot = async name => folder && page.screenshot({ path: join(folder, name + ".png") });

await page.goto(url);
await page.waitForFunction(name => [...document.querySelectorAll("#model option")].some(o => o.value === name), model);
await page.selectOption("#model", model);
await page.fill("#question", question);
await page.keyboard.press("Enter");
await page.waitForSelector(".turn:not(.user) .facts");
const answer = await page.textContent(".turn:not(.user) span");
assert.ok(answer.length > 1, "an answer");
const facts = await page.textContent(".turn:not(.user) .facts");
assert.match(facts, /answered by .+ms.*cost/);
await page.click(".facts button >> text=good");
await page.waitForSelector(".facts button.on");
await shot("chat");
await page.click("#to-monitor");
await page.waitForSelector("#last td");
assert.match(await page.textContent("#last"), /good/);
assert.ok(await page.locator("#cards svg").count() >= 6, "charts");
await shot("monitor");
assert.deepEqual(complaints, [], "nothing on the console");

// A model that is gone is told about, and the page goes on.
await page.click("#to-chat");
await page.evaluate(() => document.querySelector("#model").replaceChildren(new Option("gone", "gone")));
await page.fill("#question", "Is anybody there?");
await page.keyboard.press("Enter");
await page.waitForSelector(".turn.error");
assert.match(await page.textContent(".turn.error"), /gone/);
await shot("error");
await browser.close();
console.log("the page answers:", answer.slice(0, 80));
