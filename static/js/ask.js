// The API as the pages use it: JSON there and back, errors in the server's words, strangers to the sign-in page.

/** What the server refused. `message`: why, in words; `status`: of HTTP, 0 when it could not be reached. */
export class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Why, in words: what is wrong with each field, the reason, or no more than a code. */
function said({ error, reason, issues }) {
  if (!issues) return reason ?? error;
  return issues.map((issue) => (issue.field ? `${issue.field}: ${issue.reason}` : issue.reason)).join("; ");
}

/** To the sign-in page, and from there back to here. */
export function signIn() {
  const here = location.pathname + location.search + location.hash;
  location.replace(`/login?next=${encodeURIComponent(here)}`);
}

/** Raises Refused when the answer is not a good one. */
export async function ask(method, path, body) {
  let answer;
  let data;
  try {
    answer = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    data = answer.status === 204 ? null : await answer.json();
  } catch {
    throw new Refused(answer ? `The server answered ${answer.status}` : "The daemon cannot be reached.", answer?.status);
  }
  if (answer.status === 401) signIn();
  if (!answer.ok) throw new Refused(said(data) ?? `The server answered ${answer.status}`, answer.status);
  return data;
}
