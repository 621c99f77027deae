import { content, created, listed, type Row } from './endpoint.ts';

/** Files and what is made of them. */
export const files: readonly Row[] = [
  ['files.create', 'POST /files', 'none', created],
  ['files.list', 'GET /files', 'none', listed('purpose')],
  ['files.retrieve', 'GET /files/{file_id}', 'none'],
  ['files.delete', 'DELETE /files/{file_id}', 'none'],
  ['files.content', 'GET /files/{file_id}/content', 'none', content],
  ['uploads.create', 'POST /uploads', 'none', created],
  ['uploads.parts.create', 'POST /uploads/{upload_id}/parts', 'none'],
  ['uploads.complete', 'POST /uploads/{upload_id}/complete', 'none', { createsIds: 'id file' }],
  ['uploads.cancel', 'POST /uploads/{upload_id}/cancel', 'none'],
  ['batches.create', 'POST /batches', 'none', created],
  ['batches.list', 'GET /batches', 'none', listed()],
  ['batches.retrieve', 'GET /batches/{batch_id}', 'none', { createsIds: 'output_file_id error_file_id' }],
  ['batches.cancel', 'POST /batches/{batch_id}/cancel', 'none'],
];

/** Vector stores. */
export const vectorStores: readonly Row[] = [
  ['vectorStores.create', 'POST /vector_stores', 'none', created],
  ['vectorStores.list', 'GET /vector_stores', 'none', listed()],
  ['vectorStores.retrieve', 'GET /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.update', 'POST /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.delete', 'DELETE /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.search', 'POST /vector_stores/{vector_store_id}/search', 'none'],
  ['vectorStores.files.create', 'POST /vector_stores/{vector_store_id}/files', 'none'],
  ['vectorStores.files.list', 'GET /vector_stores/{vector_store_id}/files', 'none', listed('filter')],
  ['vectorStores.files.retrieve', 'GET /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.update', 'POST /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.delete', 'DELETE /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  [
    'vectorStores.files.content',
    'GET /vector_stores/{vector_store_id}/files/{file_id}/content',
    'none',
    listed(),
  ],
  ['vectorStores.fileBatches.create', 'POST /vector_stores/{vector_store_id}/file_batches', 'none'],
  [
    'vectorStores.fileBatches.retrieve',
    'GET /vector_stores/{vector_store_id}/file_batches/{batch_id}',
    'none',
  ],
  [
    'vectorStores.fileBatches.cancel',
    'POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel',
    'none',
  ],
  [
    'vectorStores.fileBatches.listFiles',
    'GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files',
    'none',
    listed('filter'),
  ],
];

/** Containers in which code runs, and skills that it may use. */
export const containers: readonly Row[] = [
  ['containers.create', 'POST /containers', 'none', created],
  ['containers.list', 'GET /containers', 'none', listed('name')],
  ['containers.retrieve', 'GET /containers/{container_id}', 'none'],
  ['containers.delete', 'DELETE /containers/{container_id}', 'none'],
  ['containers.files.create', 'POST /containers/{container_id}/files', 'none'],
  ['containers.files.list', 'GET /containers/{container_id}/files', 'none', listed()],
  ['containers.files.retrieve', 'GET /containers/{container_id}/files/{file_id}', 'none'],
  ['containers.files.delete', 'DELETE /containers/{container_id}/files/{file_id}', 'none'],
  [
    'containers.files.content.retrieve',
    'GET /containers/{container_id}/files/{file_id}/content',
    'none',
    content,
  ],
  ['skills.create', 'POST /skills', 'none', created],
  ['skills.list', 'GET /skills', 'none', listed()],
  ['skills.retrieve', 'GET /skills/{skill_id}', 'none'],
  ['skills.update', 'POST /skills/{skill_id}', 'none'],
  ['skills.delete', 'DELETE /skills/{skill_id}', 'none'],
  ['skills.content.retrieve', 'GET /skills/{skill_id}/content', 'none', content],
  ['skills.versions.create', 'POST /skills/{skill_id}/versions', 'none'],
  ['skills.versions.list', 'GET /skills/{skill_id}/versions', 'none', listed()],
  ['skills.versions.retrieve', 'GET /skills/{skill_id}/versions/{version}', 'none'],
  ['skills.versions.delete', 'DELETE /skills/{skill_id}/versions/{version}', 'none'],
  ['skills.versions.content.retrieve', 'GET /skills/{skill_id}/versions/{version}/content', 'none', content],
];
