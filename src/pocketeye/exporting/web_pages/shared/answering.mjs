// What workers share: messages are answered one after another, errors by their sentence.

/**
 * Answer the questions of a page.
 *
 * @param does async functions by name
 * @param handedOver gives the buffers of an answer that move to the page without a copy
 */
export function answering(does, handedOver = () => []) {
  let turn = Promise.resolve(); // a graph runs one call at a time
  onmessage = ({data: {id, what, with: given}}) => {
    turn = turn.then(async () => {
      try {
        const answer = await does[what](...given);
        postMessage({id, answer}, handedOver(answer));
      } catch (error) { postMessage({id, error: String(error?.message ?? error)}); }
    });
  };
}
