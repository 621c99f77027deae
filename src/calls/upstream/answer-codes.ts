import type { AnswerMeaning } from './answer-meanings.ts';

type Codes = readonly [meaning: AnswerMeaning, codes: readonly string[]];

/**
 * Codes that decide whatever the message says: some messages quote the caller's own text. In lower case without punctuation, so
 * that `insufficient_quota`, `InsufficientQuota` and `INSUFFICIENT-QUOTA` are one.
 */
export const decisiveCodes: readonly Codes[] = [
  [
    'content_refused',
    [
      'contentfilter',
      'contentfiltered',
      'contentblocked',
      'contentpolicyviolation',
      'contentpolicyviolationerror',
      'contentmoderation',
      'contentmoderationerror',
      'datainspectionfailed',
      'imagecontentpolicyviolation',
      'hooksfailed',
      'invalidprompt',
      'moderationblocked',
      'promptblocked',
      'responsibleaipolicyviolation',
      'safetyviolation',
    ],
  ],
  [
    'context_too_long',
    [
      'contextlengthexceeded',
      'contextwindowexceeded',
      'contextwindowexceedederror',
      'exceedcontextsizeerror',
      'promptoolong',
      'prompttoolong',
      'tokenslimitreached',
    ],
  ],
  [
    'quota_exhausted',
    [
      'accountoverdueerror',
      'arrearage',
      'allocationquotafreetieronly',
      'billinghardlimitreached',
      'billingnotactive',
      'budgetexceeded',
      'creditsexhausted',
      'exceededcurrentquotaerror',
      'insufficientbalance',
      'insufficientcredits',
      'insufficientfunds',
      'insufficientquota',
      'insufficientuserquota',
      'paymentrequired',
      'spendinglimitexceeded',
      'spendinglimitreached',
    ],
  ],
  [
    'key_rejected',
    [
      'accountdeactivated',
      'apikeyexpired',
      'apikeyinvalid',
      'authenticationtypedisabled',
      'expiredapikey',
      'expiredkey',
      'incorrectapikey',
      'invalidapikey',
      'mismatchedorganization',
      'missingapikey',
      'noorganization',
      'organizationrestricted',
      'subscriptiondisabled',
      'tenantprovidedintokendoesnotmatchresourcetoken',
      'tokennotfoundindb',
      'wrongapikey',
    ],
  ],
  // Another account may know the object.
  ['unknown', ['invalidencryptedcontent', 'previousresponsenotfound']],
  ['region_blocked', ['ipnotauthorized', 'unsupportedcountryregionterritory']],
  ['deployment_not_found', ['dedicatedendpointnotrunning', 'deploymentnotfound']],
  ['model_not_found', ['modelnotavailable', 'modeldecommissioned', 'unavailablemodel', 'unknownmodel']],
  ['wrong_operation_for_model', ['operationnotsupported']],
  [
    'overloaded',
    ['engineoverloaded', 'engineoverloadederror', 'modelloading', 'overloadederror', 'serverisoverloaded'],
  ],
];

/** Codes that decide if no words did. */
export const meaningCodes: readonly Codes[] = [
  [
    'rate_limited',
    [
      'ratelimit',
      'ratelimited',
      'ratelimiterror',
      'ratelimitexceeded',
      'ratelimitreached',
      'ratelimitreachederror',
      'requestquotaexceeded',
      'resourceexhausted',
      'throttled',
      'throttling',
      'throttlingexception',
      'tokenquotaexceeded',
      'toomanyrequests',
      'toomanyrequestserror',
    ],
  ],
  ['quota_exhausted', ['creditlimitexceeded', 'insufficientcredit', 'outofcredits', 'quotaexceeded']],
  [
    'overloaded',
    [
      'capacityexceeded',
      'modelnotready',
      'modelnotreadyexception',
      'modeltoobusy',
      'nocapacity',
      'overloaded',
      'queueexceeded',
      'serverbusy',
      'serviceunavailable',
      'serviceunavailableerror',
      'slowdown',
      'unavailable',
      'unavailableerror',
    ],
  ],
  [
    'model_not_found',
    [
      'invalidmodel',
      'modeldeprecated',
      'modelnotexist',
      'modelnotexists',
      'modelnotfound',
      'modelnotfounderror',
      'modelnotsupported',
      'nosuchmodel',
    ],
  ],
  ['api_version_rejected', ['apiversionnotsupported', 'invalidapiversion', 'unsupportedapiversion']],
  ['wrong_endpoint', ['invalidurl', 'methodnotallowed', 'routenotfound', 'unknownurl', 'urlnotfound']],
  ['wrong_operation_for_model', ['notsupportederror', 'unsupportedoperation']],
  [
    'key_lacks_permission',
    [
      'accessdenied',
      'accessdeniedexception',
      'insufficientpermissions',
      'insufficientscope',
      'keymodelaccessdenied',
      'missingscopes',
      'noaccess',
      'permissiondenied',
      'permissiondeniederror',
      'modeltermsrequired',
      'permissionerror',
      'servicedisabled',
    ],
  ],
  [
    'key_rejected',
    [
      'authenticationerror',
      'authenticationfailed',
      'badcredentials',
      'invalidauthentication',
      'invalidauthenticationerror',
      'invalidcredentials',
      'invalidissuer',
      'invalidtoken',
      'unauthenticated',
      'unauthorized',
      'providerauthenticationfailed',
    ],
  ],
];

/** Types that providers give every refusal of a request, also where the key or the model is at fault. */
export const requestTypes: ReadonlySet<string> = new Set([
  'badrequest',
  'badrequesterror',
  'invalidargument',
  'invalidrequest',
  'invalidrequesterror',
  'unprocessableentity',
  'unprocessableentityerror',
]);

/** Codes of a part of the request that is at fault. */
export const requestCodes: ReadonlySet<string> = new Set([
  'emptyarray',
  'emptystring',
  'extraforbidden',
  'invalidbase64',
  'invalidfunctionparameters',
  'invalidimageurl',
  'invalidjsonschema',
  'invalidparameter',
  'invalidparametererror',
  'invalidparametervalue',
  'invalidrequestmessageorder',
  'invalidtype',
  'invalidvalue',
  'jsoninvalid',
  'jsonvalidatefailed',
  'literalerror',
  'missingrequiredparameter',
  'nomodelname',
  'toolusefailed',
  'unknownparameter',
  'unsupportedparameter',
  'unsupportedvalue',
  'validationerror',
  'valueerror',
  'valueerrormissing',
]);
/** Of the bounds and types that schemas check: `string_above_max_length`, `integer_below_min_value`, `string_type`. */
export const schemaCode =
  /^(string|integer|number|decimal|float|array|list|object|dict|bool|boolean|int)(above|below|toolong|tooshort|type|parsing)/;
