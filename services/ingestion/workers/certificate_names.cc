#include "services/ingestion/workers/certificate_names.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "common/event/event_view.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxName = 255;

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

// Visible ASCII: a NUL or a blank in the middle must not make one name look like another.
bool IsPlain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string_view TextOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string NameOf(const GENERAL_NAME& name) {
  switch (name.type) {
    case GEN_DNS:
      return IsPlain(TextOf(name.d.dNSName)) ? "dns:" + ToLower(TextOf(name.d.dNSName)) : "";
    case GEN_EMAIL:
      return IsPlain(TextOf(name.d.rfc822Name)) ? "email:" + ToLower(TextOf(name.d.rfc822Name))
                                                : "";
    case GEN_URI: {
      const auto text = TextOf(name.d.uniformResourceIdentifier);
      return IsPlain(text) ? "uri:" + std::string(text) : "";
    }
    case GEN_IPADD: {
      const auto address = event::IpAddress::FromBytes(TextOf(name.d.iPAddress));
      return address.empty() ? "" : "ip:" + address.ToString();
    }
    default:
      return "";
  }
}

// Where there are several, none is the common name.
std::string CommonName(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return "";
  unsigned char* utf8 = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return "";
  const std::string name(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  const bool usable = !name.empty() && name.size() <= kMaxName && IsValidUtf8(name) && !control &&
                      Trim(name).size() == name.size();
  return usable ? "cn:" + name : "";
}

}  // namespace

std::vector<std::string> CertificateNames(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  std::vector<std::string> names = {
      "sha256:" + HexEncode({reinterpret_cast<const char*>(digest.data()), size})};
  const auto add = [&names](std::string name) {
    const bool known = std::find(names.begin(), names.end(), name) != names.end();
    if (!name.empty() && !known && names.size() < kMaxCertificateNames) {
      names.push_back(std::move(name));
    }
  };
  add(CommonName(certificate));
  const std::unique_ptr<GENERAL_NAMES, FreeNames> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternatives != nullptr && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    add(NameOf(*sk_GENERAL_NAME_value(alternatives.get(), i)));
  }
  return names;
}

}  // namespace yagura::ingestion
