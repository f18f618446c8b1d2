// The page at /console/domains. Not here: what every page has in common (pages.mjs, security.mjs).

import { check, everyWidthAndTheme, signIn } from "./browser.mjs";

check("it is sound in every width and theme", async () => {
  await everyWidthAndTheme(await signIn("admin"), "/domains");
});
