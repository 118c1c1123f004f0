/**
 * What the server says in the page itself: the name of the installation, who may register, whether mails are sent, the
 * languages, how large a file may be, and what each provider of the weather wants to be said beside it.
 * @type {{name: string, registration: "open"|"invite"|"closed", mail: boolean, languages: string[], fileBytes: number, attributions: Record<string, string>}}
 */
export const facts = JSON.parse(document.querySelector('meta[name="console-facts"]').content);
