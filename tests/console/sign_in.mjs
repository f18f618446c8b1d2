// The page at /console/sign-in. Not here: what every page has in common (pages.mjs, security.mjs).

import { check, everyWidthAndTheme, visitor } from "./browser.mjs";

check("it is sound in every width and theme", async () => {
  await everyWidthAndTheme(await visitor(), "/sign-in");
});
