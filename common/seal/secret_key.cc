#include "common/seal/secret_key.h"

#include <sodium.h>

#include <cstdlib>
#include <cstring>

namespace yagura::seal {

SecretKey SecretKey::Random() {
  SecretKey key;
  randombytes_buf(key.bytes_.data(), key.bytes_.size());
  return key;
}

SecretKey SecretKey::FromBytes(std::string_view bytes) {
  if (bytes.size() != kBytes) abort();
  SecretKey key;
  std::memcpy(key.bytes_.data(), bytes.data(), kBytes);
  return key;
}

SecretKey::~SecretKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

void Wipe(std::string& text) {
  sodium_memzero(text.data(), text.size());
  text.clear();
}

}  // namespace yagura::seal
