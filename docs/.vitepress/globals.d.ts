/** Names that blocks of the documentation and examples of docstrings use without declaring them. */
import type { createClient } from 'redis';
import type { Call, EncryptionKey, ModelBody, Storage, TeamModelRouter } from 'team-model-router';
import type { Gateway } from 'team-model-router/http';

declare global {
  const router: TeamModelRouter;
  const gateway: Gateway;
  const storage: Storage;
  const encryptionKeys: EncryptionKey[];
  const masterKey: string;
  const teamId: string;
  const messages: { role: 'user'; content: string }[];
  const call: Call;
  const body: ModelBody;
  const modelId: string;
  const key: string;
  const api_key: string | undefined;
  const client: ReturnType<typeof createClient>;
  function myStorage(): Storage;

  namespace Express {
    interface Request {
      session: { user?: { id: string; teamId: string; isAdmin: boolean } };
    }
  }
}
