// A command line for blacklight-collector, which is a library: `node blacklight.mjs URL FOLDER`.
//
// One page and no further links (`numPages: 0`), the least work it can be asked for. All other options are its own
// defaults. The answer is `inspection.json` in the folder.

import { createRequire } from "node:module";

const { collect } = createRequire(import.meta.url)("@themarkup/blacklight-collector");
const { COMPARE_CHROMIUM: puppeteerExecutablePath, COMPARE_ARGS: shared = "[]" } = process.env;
const [url, outDir] = process.argv.slice(2);

const answer = await collect(url, {
  outDir,
  numPages: 0,
  puppeteerExecutablePath,
  extraChromiumArgs: ["--disable-features=TrackingProtection3pcd", ...JSON.parse(shared)],
});
if (answer.status !== "success") {
  console.error(`blacklight-collector: ${answer.status}: ${JSON.stringify(answer.page_response)}`);
}
process.exit(answer.status === "success" ? 0 : 2);
