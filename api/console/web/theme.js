// Runs before the page is painted, so that a chosen theme does not flash in after the theme of the system.
try {
  const theme = JSON.parse(localStorage.getItem("allweather.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser may forbid the storage; then the theme of the system is used.
}
