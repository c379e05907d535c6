#include "services/notification/domain/text.h"

#include <sodium.h>

#include "common/text/text.h"

namespace yagura::notification {

std::string Sha256Hex(std::string_view text) {
  std::string digest(crypto_hash_sha256_BYTES, '\0');
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(digest.data()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return HexEncode(digest);
}

}  // namespace yagura::notification
