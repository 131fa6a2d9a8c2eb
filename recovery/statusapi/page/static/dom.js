// Making and changing elements. Everything that is shown goes through textContent
// and attributes that run nothing; there is no other way here to make an element.

const SVG = "http://www.w3.org/2000/svg";

// byID returns an element that index.html promises.
export const byID = (id) => document.getElementById(id);

// el makes an element: el("td", {class: "number", "data-label": "Tries"}, "3", child).
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// svg is el for drawings.
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children);
  return node;
}

// set changes an attribute only if it differs; null removes it.
export function set(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

// text changes a node's text only if it differs, so that a selection survives and
// nothing is read out again.
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// when shows a moment: the text for people, the exact value in the title.
export function when(node, shown, exactText, iso) {
  text(node, shown);
  set(node, "title", exactText);
  set(node, "datetime", iso);
}

// reconcile makes parent hold one element for each item, in their order. Elements
// are kept by key, so that focus, selection and scrolling survive an update.
export function reconcile(parent, items, { key, make, update }) {
  const old = new Map();
  for (const child of parent.children) old.set(child.dataset.key, child);
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = old.get(name);
    old.delete(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  for (const node of old.values()) node.remove();
}

// facts fills a dl with [name, value] pairs; a value is a text or a node maker's
// {text, title}. Rows that are there stay.
export function facts(list, pairs) {
  reconcile(list, pairs, {
    key: ([name]) => name,
    make: ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
    update: (row, [, value]) => {
      const shown = typeof value === "object" ? value : { text: value };
      text(row.lastElementChild, shown.text);
      set(row.lastElementChild, "title", shown.title);
    },
  });
}
