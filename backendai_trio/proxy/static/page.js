"use strict";

const place = document.getElementById("graphiql");

async function ask(question) {
  const reply = await fetch(place.dataset.query, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });
  const text = await reply.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `HTTP status ${reply.status}: ${text.slice(0, 300)}` }] };
  }
}

ReactDOM.createRoot(place).render(React.createElement(GraphiQL, { fetcher: ask }));
