"use strict";
// Shows a service's document with Swagger UI. The document is a stranger's: whatever it names as a
// server, a request that is tried out goes to the gateway or nowhere.
const docs = document.getElementById("docs");
const gateway = new URL(docs.dataset.gateway || "/", location.href);

function guided(request) {
  const url = new URL(request.url, location.href);
  if (url.origin !== gateway.origin) throw new Error(docs.dataset.refused);
  if (docs.dataset.through) {
    request.url = new URL(docs.dataset.through + url.pathname + url.search, location.href).href;
    request.headers = { ...request.headers, "X-Gateway-Docs": "1" };
  }
  return request;
}

function show(spec) {
  SwaggerUIBundle({
    domNode: docs,
    spec,
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: guided,
    showMutatedRequest: false,
    ...("try" in docs.dataset ? {} : { supportedSubmitMethods: [] }),
  });
}

fetch(docs.dataset.document)
  .then((answer) => {
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
  })
  .then(show, (reason) => { docs.textContent = `${docs.dataset.unread} ${reason}`; });
