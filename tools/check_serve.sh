#!/usr/bin/env bash
# slm-serve as its users meet it: the official Python and npm clients, LangChain's, and a browser. What they need is installed
# in FOLDER; what is not to be had is said and left out.
#
#   tools/check_serve.sh SLM_SERVE MODEL FOLDER
set -euo pipefail
server="$1" model="$2" folder="$3" here="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$folder"

name="$(basename "$model")"
"$server" run --model "$model" --listen 127.0.0.1:18097 2>"$folder/log" &
trap 'kill %1' EXIT
url=http://127.0.0.1:18097
for _ in $(seq 100); do curl --silent --fail "$url/ready" && break || sleep 0.1; done
curl --silent --fail "$url/v1/chat/completions" -d '{"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 8}' >/dev/null
echo "curl agrees with the server"

if python3 -c "import openai, langchain_openai" 2>/dev/null || [ -d "$folder/python/langchain_openai" ] ||
  python3 -m pip install --quiet --target "$folder/python" openai langchain-openai; then
  PYTHONPATH="$folder/python" python3 "$here/check_clients.py" "$url/v1" "$name"
else
  echo "the Python clients are not to be had: not checked"
fi

cd "$folder"
if [ -d node_modules/openai ] || npm install --silent --no-fund --no-audit openai playwright-core >/dev/null; then
  node "$here/check_clients.mjs" "$url/v1" "$name"
  if [ -x /usr/bin/chromium ] || { apt-get -qq update && apt-get -qq --yes install chromium; } >/dev/null 2>&1; then
    node "$here/check_page.mjs" "$url" "$name" "Say something short."
  else
    echo "Chromium is not to be had: the page is not looked at"
  fi
else
  echo "npm's packages are not to be had: its client and the page are not checked"
fi
