#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| a3s_box_net::fuzz::secret_response(bytes));
