const v4Registry = 'https://www.iana.org/assignments/iana-ipv4-special-registry';
const v6Registry = 'https://www.iana.org/assignments/iana-ipv6-special-registry';
const v4Space = 'https://www.iana.org/assignments/ipv4-address-space';
const v6Space = 'https://www.iana.org/assignments/ipv6-address-space';

/** The only block of public IPv6 addresses. @see https://www.iana.org/assignments/ipv6-address-space */
export const globalV6 = '2000::/3';

/**
 * Blocks that are not public, and the addresses of cloud metadata services. A call reaches them only if the operator
 * allows it. If a registry lists a block and smaller blocks inside it, this table has the enclosing block.
 *
 * `::ffff:0:0/96` and `64:ff9b::/96` are not listed, because the embedded IPv4 address is checked instead.
 */
export const specialAddresses: readonly (readonly [block: string, what: string, source: string])[] = [
  ['0.0.0.0/8', 'this network', v4Registry],
  ['10.0.0.0/8', 'private', v4Registry],
  ['100.64.0.0/10', "carrier-grade NAT; 100.100.100.200 is Alibaba's metadata", v4Registry],
  ['127.0.0.0/8', 'loopback', v4Registry],
  ['169.254.0.0/16', "link-local; 169.254.169.254 is most clouds' metadata", v4Registry],
  ['172.16.0.0/12', 'private', v4Registry],
  ['192.0.0.0/24', "protocol assignments; 192.0.0.192 is Oracle's metadata", v4Registry],
  ['192.0.2.0/24', 'documentation', v4Registry],
  ['192.31.196.0/24', 'AS112', v4Registry],
  ['192.52.193.0/24', 'AMT', v4Registry],
  ['192.88.99.0/24', '6to4 relays', v4Registry],
  ['192.168.0.0/16', 'private', v4Registry],
  ['192.175.48.0/24', 'AS112', v4Registry],
  ['198.18.0.0/15', 'benchmarking', v4Registry],
  ['198.51.100.0/24', 'documentation', v4Registry],
  ['203.0.113.0/24', 'documentation', v4Registry],
  ['224.0.0.0/4', 'multicast', v4Space],
  ['240.0.0.0/4', 'reserved, and the broadcast address', v4Registry],
  [
    '168.63.129.16/32',
    "Azure's own services for the machine",
    'https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16',
  ],
  ['::/96', 'unspecified, loopback, IPv4-compatible', v6Registry],
  ['::ffff:0:0:0/96', 'IPv4-translated', v6Space],
  ['64:ff9b:1::/48', 'NAT64 of a local network', v6Registry],
  ['100::/64', 'discard', v6Registry],
  ['100:0:0:1::/64', 'dummy prefix', v6Registry],
  ['2001::/23', 'protocol assignments, Teredo and ORCHID among them', v6Registry],
  ['2001:db8::/32', 'documentation', v6Registry],
  ['2002::/16', '6to4: carries an IPv4 address', v6Registry],
  ['2620:4f:8000::/48', 'AS112', v6Registry],
  ['3fff::/20', 'documentation', v6Registry],
  ['5f00::/16', 'segment routing', v6Registry],
  [
    'fc00::/7',
    "unique local; fd00:ec2::254, fd20:ce::254, fd00:42::42 are Amazon's, Google's, Scaleway's metadata",
    v6Registry,
  ],
  ['fe80::/10', 'link-local', v6Registry],
  ['fec0::/10', 'site-local', v6Space],
  ['ff00::/8', 'multicast', v6Space],
];
