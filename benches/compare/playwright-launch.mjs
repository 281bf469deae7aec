// Preloaded into gdpr-cookie-scanner's own command line (`node --import`), which has no option for either:
// Playwright starts the Chromium that every tool of this comparison starts, with the same arguments.

import { chromium } from "playwright";

const launch = chromium.launch.bind(chromium);
const { COMPARE_CHROMIUM: executablePath, COMPARE_ARGS: shared = "[]" } = process.env;

chromium.launch = (options = {}) =>
  launch({ ...options, executablePath, args: [...(options.args ?? []), ...JSON.parse(shared)] });
