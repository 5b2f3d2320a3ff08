// Words and addresses that the page gives to the modules.
export const texts = { ...document.getElementById("texts")?.dataset }
