"use strict";
// Helpers that create elements. No script sets HTML from text. The page has an <svg id="svg">, for its namespace.

const SVG_NAMESPACE = document.getElementById("svg").namespaceURI;

const byId = (id) => document.getElementById(id);

/** An HTML element. An attribute that is a function listens to the event of that name; children are nodes or text. */
function createHtml(name, attributes = {}, ...children) {
  return assemble(document.createElement(name), attributes, children);
}

/** The same for SVG. */
function createSvg(name, attributes = {}, ...children) {
  return assemble(document.createElementNS(SVG_NAMESPACE, name), attributes, children);
}

function assemble(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A paragraph in place of something that cannot be shown. */
const placeholder = (text) => createHtml("p", { class: "nothing" }, text);

/** A labelled select with [value, text] pairs; `onChange` receives the chosen value. */
function selectBox(label, options, value, onChange) {
  const select = createHtml("select", { change: () => onChange(select.value) });
  select.append(...options.map(([option, text]) =>
    createHtml("option", { value: option, selected: String(option) === String(value) }, text)));
  return createHtml("label", {}, label + " ", select);
}

/** A number with a fixed number of digits and narrow spaces between thousands, as in the table of results. */
function formatNumber(value, digits = 2) {
  const [whole, fraction] = Math.abs(value).toFixed(digits).split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return (value < 0 ? "−" : "") + spaced + (fraction ? "." + fraction : "");
}
