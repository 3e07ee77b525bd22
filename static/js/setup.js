// The page of the first user works without scripts; they only let people look at what they type.

import { watchPasswords } from "./reveal.js";

watchPasswords();
