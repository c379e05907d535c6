#include "common/seal/sealed_box.h"

#include <sodium.h>

#include "common/status/status.h"

namespace yagura::seal {
namespace {

constexpr std::string_view kMagic = "YS\x01";
constexpr size_t kHeaderBytes = 3 + 4;
constexpr size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(SecretKey::kBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

void AppendBigEndian(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out += static_cast<char>((value >> shift) & 0xff);
  }
}

// The header is authenticated with the rest, so that a version cannot be swapped.
std::string AdditionalData(std::string_view header, BoundTo bound_to) {
  std::string out(header);
  for (const std::string_view part : bound_to) {
    AppendBigEndian(out, part.size(), 8);
    out += part;
  }
  return out;
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Status Broken() {
  return MakeError(absl::StatusCode::kDataLoss, "SEAL_BROKEN",
                   "the sealed value is damaged or belongs to something else");
}

}  // namespace

std::string SealBox(const SecretKey& key, uint32_t key_version, BoundTo bound_to,
                    std::string_view text) {
  std::string box(kMagic);
  AppendBigEndian(box, key_version, 4);
  const std::string additional = AdditionalData(box, bound_to);
  box.resize(kHeaderBytes + kNonceBytes + text.size() + kTagBytes);
  auto* nonce = reinterpret_cast<unsigned char*>(box.data() + kHeaderBytes);
  randombytes_buf(nonce, kNonceBytes);
  unsigned long long length = 0;  // NOLINT(google-runtime-int): libsodium's type
  crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + kNonceBytes, &length, Bytes(text), text.size(),
                                             Bytes(additional), additional.size(), nullptr, nonce,
                                             key.data());
  return box;
}

StatusOr<uint32_t> KeyVersionOf(std::string_view box) {
  if (box.size() < kHeaderBytes + kNonceBytes + kTagBytes || box.substr(0, 3) != kMagic) {
    return Broken();
  }
  uint32_t version = 0;
  for (size_t i = kMagic.size(); i < kHeaderBytes; ++i) version = version << 8 | Bytes(box)[i];
  return version;
}

StatusOr<std::string> OpenBox(const SecretKey& key, BoundTo bound_to, std::string_view box) {
  YAGURA_RETURN_IF_ERROR(KeyVersionOf(box).status());
  const std::string additional = AdditionalData(box.substr(0, kHeaderBytes), bound_to);
  const std::string_view nonce = box.substr(kHeaderBytes, kNonceBytes);
  const std::string_view sealed = box.substr(kHeaderBytes + kNonceBytes);
  std::string text(sealed.size() - kTagBytes, '\0');
  unsigned long long length = 0;  // NOLINT(google-runtime-int): libsodium's type
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          reinterpret_cast<unsigned char*>(text.data()), &length, nullptr, Bytes(sealed),
          sealed.size(), Bytes(additional), additional.size(), Bytes(nonce), key.data()) != 0) {
    return Broken();
  }
  return text;
}

}  // namespace yagura::seal
