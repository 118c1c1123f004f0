/**
 * What the server says in the page itself: the name of the installation, who may register, whether mails are sent, the
 * languages, and how large a file may be.
 * @type {{name: string, registration: "open"|"invite"|"closed", mail: boolean, languages: string[], fileBytes: number}}
 */
export const facts = JSON.parse(document.querySelector('meta[name="console-facts"]').content);
