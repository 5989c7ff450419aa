function render({ model, el }) {
  const view = new View(model, el);
  return () => view.end();
}

export default { initialize, render };
