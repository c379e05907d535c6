#include "services/notification/domain/mime.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/text/text.h"

namespace yagura::notification {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Mail SampleMail() {
  Mail mail;
  mail.from = "yagura@example.com";
  mail.to = "alice@example.com";
  mail.subject = "[HIGH] acme: something";
  mail.message_id = "0123.acme@yagura.example.com";
  mail.date = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5) + std::chrono::hours(9);
  mail.body = "first line\n.\nFrom the log = 100%\n";
  return mail;
}

TEST(RenderMail, IsAMessageWithCrLf) {
  EXPECT_EQ(RenderMail(SampleMail()),
            "Date: Mon, 5 Jan 2026 09:00:00 +0000\r\n"
            "From: yagura@example.com\r\n"
            "To: alice@example.com\r\n"
            "Subject: [HIGH] acme: something\r\n"
            "Message-ID: <0123.acme@yagura.example.com>\r\n"
            "Auto-Submitted: auto-generated\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n"
            "\r\n"
            "first line\r\n=2E\r\n=46rom the log =3D 100%\r\n");
}

TEST(RenderMail, NoTextAddsAHeader) {
  Mail mail = SampleMail();
  mail.subject = "a\r\nBcc: evil@example.com";
  mail.from_name = "b\nX-Evil: 1";
  mail.message_id = "c>\r\nX-Evil: 2";
  mail.x_headers = {{"X-Yagura-Alert", "d\r\n\r\nbody"}};
  const std::string text = RenderMail(mail);
  const std::string head = text.substr(0, text.find("\r\n\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("\nBcc")));
  EXPECT_THAT(head, Not(HasSubstr("\nX-Evil")));
  EXPECT_THAT(head, HasSubstr("\r\nX-Yagura-Alert: d    body\r\n"));
}

// What a mail program shows: encoded words decoded and joined, quotes taken off.
std::string Shown(std::string_view name) {
  if (name.find("=?") == std::string_view::npos) {
    if (!name.starts_with('"')) return std::string(name);
    std::string shown;
    for (size_t i = 1; i + 1 < name.size(); ++i) {
      if (name[i] == '\\') ++i;
      shown += name[i];
    }
    return shown;
  }
  std::string shown;
  for (std::string_view word : Split(name, ' ')) {
    word = Trim(word);
    EXPECT_TRUE(word.starts_with("=?UTF-8?B?") && word.ends_with("?=") && word.size() <= 75)
        << word;
    const auto part = Base64Decode(word.substr(10, word.size() - 12));
    EXPECT_TRUE(part && IsValidUtf8(*part)) << "a cut character in " << word;
    shown += part.value_or("");
  }
  return shown;
}

TEST(EncodeDisplayName, NeverCutsACharacter) {
  for (size_t shift = 0; shift < 6; ++shift) {
    std::string name(shift, 'a');
    for (int i = 0; i < 30; ++i) name += i % 2 == 0 ? "櫓" : "🗼";
    EXPECT_EQ(Shown(EncodeDisplayName(name)), name);
  }
}

TEST(EncodeDisplayName, LeavesAsciiReadable) {
  EXPECT_EQ(EncodeDisplayName("Yagura"), "Yagura");
  EXPECT_EQ(EncodeDisplayName("  Yagura SOC "), "Yagura SOC");
  EXPECT_EQ(EncodeDisplayName("   "), "");
  EXPECT_EQ(EncodeDisplayName("Acme, Inc. \"SOC\" <a@b>"), "\"Acme, Inc. \\\"SOC\\\" <a@b>\"");
  for (const std::string name : {"back\\slash", "Acme: SOC", "SOC (night)", "=?UTF-8?B?eA==?="}) {
    EXPECT_EQ(Shown(EncodeDisplayName(name)), name);
  }
  // So long that a line with the address would be too long.
  const std::string endless(400, 'x');
  EXPECT_EQ(Shown(EncodeDisplayName(endless)), endless);
}

TEST(RenderMail, ShowsTheSendersName) {
  Mail mail = SampleMail();
  mail.from_name = "Yagura";
  EXPECT_THAT(RenderMail(mail), HasSubstr("\r\nFrom: Yagura <yagura@example.com>\r\n"));
  mail.from_name = "櫓";
  EXPECT_THAT(RenderMail(mail), HasSubstr("\r\nFrom: =?UTF-8?B?5quT?= <yagura@example.com>\r\n"));
}

TEST(EncodeHeaderText, WritesOtherScriptsInEncodedWordsOfWholeCharacters) {
  EXPECT_EQ(EncodeHeaderText("plain [HIGH] text"), "plain [HIGH] text");
  EXPECT_EQ(EncodeHeaderText("警告"), "=?UTF-8?B?6K2m5ZGK?=");
  std::string decoded;
  std::string text;
  for (int i = 0; i < 60; ++i) text += "警告a";
  const std::string encoded = EncodeHeaderText(text);
  for (std::string_view line : Split(encoded, '\n')) {
    line = Trim(line);
    ASSERT_LE(line.size(), 75u);
    const auto word = Base64Decode(line.substr(10, line.size() - 12));
    ASSERT_TRUE(word.has_value());
    EXPECT_TRUE(IsValidUtf8(*word));
    decoded += *word;
  }
  EXPECT_EQ(decoded, text);
}

TEST(EncodeHeaderText, WhatLooksLikeAnEncodedWordIsEncoded) {
  EXPECT_THAT(EncodeHeaderText("=?UTF-8?B?QmNj?="), Not(HasSubstr("QmNj")));
}

TEST(QuotedPrintable, BreaksLongLinesSoftlyAndProtectsTrailingSpaces) {
  const std::string text = QuotedPrintable(std::string(200, 'x') + " \n警");
  for (std::string_view line : Split(text, '\n')) EXPECT_LE(line.size(), 77u);
  EXPECT_THAT(text, HasSubstr("x=20\r\n=E8=AD=A6\r\n"));
}

TEST(IsMailAddress, TakesPlainAddressesAndNothingThatCouldEndACommand) {
  EXPECT_TRUE(IsMailAddress("alice@example.com"));
  EXPECT_TRUE(IsMailAddress("a.b+tag@mail-1.example.co.jp"));
  for (const char* bad :
       {"", "a", "@example.com", "alice@", "a b@example.com", "a@b@c",
        "a@example.com\r\nRCPT TO:<x@y>", "<a@example.com>", "a@example.com,b@c.d",
        "a@-example.com", "a@example.com.", "\"a\"@example.com", "警@example.com"}) {
    EXPECT_FALSE(IsMailAddress(bad)) << bad;
  }
}

}  // namespace
}  // namespace yagura::notification
