// theme.js - before anything is drawn: light or dark, if it was chosen here rather than by the system.
(function () {
    try {
        const theme = JSON.parse(localStorage.getItem("krait/settings") || "{}").theme;
        if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    } catch { /* nothing is kept here */ }
})();
