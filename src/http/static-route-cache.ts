import type { Result, Router } from 'hono/router';
import { TrieRouter } from 'hono/router/trie-router';

/**
 * Caches the route of each path without parameters in front of Hono's router, because a search among all routes
 * costs a call more than the check of its key. The cache is bounded by the number of routes.
 */
export class StaticRouteCache<Handler> implements Router<Handler> {
  readonly name = 'RememberingRouter';
  readonly #trie = new TrieRouter<Handler>();
  readonly #fixed = new Set<string>();
  readonly #found = new Map<string, Result<Handler>>();

  add(method: string, path: string, handler: Handler): void {
    this.#trie.add(method, path, handler);
    if (!/[:*]/.test(path)) this.#fixed.add(`${method} ${path}`);
    this.#found.clear();
  }

  match(method: string, path: string): Result<Handler> {
    const route = `${method} ${path}`;
    const known = this.#found.get(route);
    if (known !== undefined) return known;
    const found = this.#trie.match(method, path);
    if (this.#fixed.has(route)) this.#found.set(route, found);
    return found;
  }
}
